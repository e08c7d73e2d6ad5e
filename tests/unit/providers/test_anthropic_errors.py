"""Which error an answer of Anthropic stands for."""

import pickle
from typing import Any

import pytest

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.providers.anthropic.errors import anthropic_error, no_answer_error

PAGE = "<html><title>502 Bad Gateway</title></html>"


def word(kind: str, message: str = "said") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


TABLE: list[tuple[int, Any, type[ExternalServiceError], str | None]] = [
    (400, word("invalid_request_error"), RequestRefusedError, "invalid_request_error"),
    (400, word("invalid_request_error", "Your credit balance is too low to access the API."), AccountLockedError, "invalid_request_error"),
    (401, word("authentication_error"), AuthenticationError, "authentication_error"),
    (401, PAGE, AuthenticationError, None),
    (402, word("billing_error"), AccountLockedError, "billing_error"),
    (403, word("permission_error"), AccountLockedError, "permission_error"),
    (404, word("not_found_error", "model: claude-2"), RequestRefusedError, "model_retired"),
    (404, word("not_found_error", "Not Found"), RequestRefusedError, "not_found_error"),
    (404, PAGE, RequestRefusedError, None),
    (408, PAGE, SubmitUnknownError, None),
    (408, word("timeout_error"), ServiceUnavailableError, "timeout_error"),
    (409, None, SubmitUnknownError, None),
    (409, word("conflict_error"), ServiceUnavailableError, "conflict_error"),
    (413, word("request_too_large"), RequestRefusedError, "request_too_large"),
    (413, PAGE, RequestRefusedError, None),
    (422, word("invalid_request_error"), RequestRefusedError, "invalid_request_error"),
    (429, word("rate_limit_error"), RateLimitError, "rate_limit_error"),
    (429, PAGE, RateLimitError, None),
    (500, word("api_error"), ServiceUnavailableError, "api_error"),
    (500, {"error": "x"}, SubmitUnknownError, None),
    (500, {"type": "error", "error": "x"}, SubmitUnknownError, None),
    (502, PAGE, SubmitUnknownError, None),
    (503, word("api_error"), ServiceUnavailableError, "api_error"),
    (503, "", SubmitUnknownError, None),
    (504, word("timeout_error"), ServiceUnavailableError, "timeout_error"),
    (520, PAGE, SubmitUnknownError, None),
    (529, word("overloaded_error"), ServiceUnavailableError, "overloaded_error"),
    (307, PAGE, SubmitUnknownError, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "cls", "kind"), TABLE, ids=[f"{r[0]}-{r[3]}-{i}" for i, r in enumerate(TABLE)]
)
def test_an_answer_is_told_by_the_reaction_it_asks_for(
    status: int, body: Any, cls: type[ExternalServiceError], kind: str | None
) -> None:
    error = anthropic_error(status, body, {})

    assert (type(error), error.kind, error.status, error.provider) == (cls, kind, status, "anthropic")
    assert "html" not in error.message
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again)) == (cls, vars(error))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("inf", None), ("nan", None), ("soon", None), ("4294967295", 4294967295.0)],
)
def test_a_pause_is_kept_as_it_was_asked_for_when_it_is_one(header: str, seconds: float | None) -> None:
    assert anthropic_error(429, word("rate_limit_error"), {"retry-after": header}).retry_after_s == seconds


def test_words_of_theirs_become_one_line_that_can_be_stored() -> None:
    error = anthropic_error(400, word("invalid_request_error", "a\n  b \ud800 " + "x" * 9000), {})

    assert "\n" not in error.message and len(error.message) < 700
    error.message.encode()


def test_what_never_left_is_no_lost_message() -> None:
    assert type(no_answer_error("refused", sent=False)) is ServiceUnavailableError
    assert type(no_answer_error("cut", sent=True)) is SubmitUnknownError
