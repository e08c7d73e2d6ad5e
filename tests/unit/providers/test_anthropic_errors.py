"""Which of our errors an answer of Anthropic becomes."""

import pickle
from typing import Any

import pytest

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.providers.anthropic.errors import anthropic_error, no_answer_error

USAGE_LIMIT = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
PAGE = "<html><title>502 Bad Gateway</title></html>"


def error_body(kind: str, message: str = "said") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


TABLE: list[tuple[int, Any, type[ExternalServiceError], str | None]] = [
    (400, error_body("invalid_request_error"), RequestRefusedError, "invalid_request_error"),
    (400, error_body("invalid_request_error", "Your credit balance is too low to access the API."), AccountLockedError, "invalid_request_error"),
    (401, error_body("authentication_error"), AuthenticationError, "authentication_error"),
    (401, PAGE, AuthenticationError, None),
    (402, error_body("billing_error"), AccountLockedError, "billing_error"),
    (403, error_body("permission_error"), AuthenticationError, "permission_error"),
    (403, PAGE, AuthenticationError, None),
    (403, error_body("permission_error", "This organization has been disabled."), AccountLockedError, "permission_error"),
    (400, error_body("invalid_request_error", "This organization has been disabled."), AccountLockedError, "invalid_request_error"),
    (400, error_body("invalid_request_error", USAGE_LIMIT), AccountLockedError, "invalid_request_error"),
    (400, error_body("invalid_request_error", USAGE_LIMIT.replace("API", "workspace API")), AccountLockedError, "invalid_request_error"),
    (400, error_body("invalid_request_error", "Output blocked by content filtering policy"), ContentRefusedError, "invalid_request_error"),
    (400, error_body("invalid_request_error", "messages.0: unexpected value; output_config: disabled"), RequestRefusedError, "invalid_request_error"),
    (500, error_body("api_error", "Output blocked by content filtering policy"), ServiceUnavailableError, "api_error"),
    (404, error_body("not_found_error", "model: claude-2"), RequestRefusedError, "model_retired"),
    (404, error_body("not_found_error", "Not Found"), RequestRefusedError, "not_found_error"),
    (404, PAGE, RequestRefusedError, None),
    (408, PAGE, SubmitUnknownError, None),
    (408, error_body("timeout_error"), ServiceUnavailableError, "timeout_error"),
    (409, None, SubmitUnknownError, None),
    (409, error_body("conflict_error"), ServiceUnavailableError, "conflict_error"),
    (413, error_body("request_too_large"), RequestRefusedError, "request_too_large"),
    (413, PAGE, RequestRefusedError, None),
    (422, error_body("invalid_request_error"), RequestRefusedError, "invalid_request_error"),
    (429, error_body("rate_limit_error"), RateLimitError, "rate_limit_error"),
    (429, PAGE, RateLimitError, None),
    (500, error_body("api_error"), ServiceUnavailableError, "api_error"),
    (500, {"error": "x"}, SubmitUnknownError, None),
    (500, {"type": "error", "error": "x"}, SubmitUnknownError, None),
    (502, PAGE, SubmitUnknownError, None),
    (503, error_body("api_error"), ServiceUnavailableError, "api_error"),
    (503, "", SubmitUnknownError, None),
    (504, error_body("timeout_error"), ServiceUnavailableError, "timeout_error"),
    (520, PAGE, SubmitUnknownError, None),
    (529, error_body("overloaded_error"), ServiceUnavailableError, "overloaded_error"),
    (307, PAGE, SubmitUnknownError, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "cls", "kind"), TABLE, ids=[f"{r[0]}-{r[3]}-{i}" for i, r in enumerate(TABLE)]
)
def test_an_answer_becomes_our_error(status: int, body: Any, cls: type[ExternalServiceError], kind: str | None) -> None:
    error = anthropic_error(status, body, {})

    assert (type(error), error.kind, error.status, error.provider) == (cls, kind, status, "anthropic")
    assert "html" not in error.message
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again)) == (cls, vars(error))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("inf", None), ("nan", None), ("soon", None), ("4294967295", 4294967295.0)],
)
def test_retry_after_is_kept_if_it_is_a_number(header: str, seconds: float | None) -> None:
    assert anthropic_error(429, error_body("rate_limit_error"), {"retry-after": header}).retry_after_s == seconds


def test_the_vendors_message_becomes_one_line_of_utf_8() -> None:
    error = anthropic_error(400, error_body("invalid_request_error", "a\n  b \ud800 " + "x" * 9000), {})

    assert "\n" not in error.message and len(error.message) < 700
    error.message.encode()


def test_a_request_that_was_not_sent_is_not_unknown() -> None:
    assert type(no_answer_error("refused", sent=False)) is ServiceUnavailableError
    assert type(no_answer_error("cut", sent=True)) is SubmitUnknownError
