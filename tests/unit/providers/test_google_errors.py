"""Which of our errors an answer of Google becomes."""

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
from worker.providers.base import RUN_CANCELLED
from worker.providers.google.errors import google_error, operation_error


def error_body(code: int, status: str, message: str = "m", *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def info(reason: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}


ROWS: list[tuple[int, Any, type[ExternalServiceError], type[ExternalServiceError]]] = [
    # status, body, error of a paid call, error of a poll
    (400, error_body(400, "INVALID_ARGUMENT"), RequestRefusedError, RequestRefusedError),
    (400, error_body(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")), AuthenticationError, AuthenticationError),
    (400, error_body(400, "INVALID_ARGUMENT", "violates Vertex AI's usage guidelines. Support codes: 1"), ContentRefusedError, ContentRefusedError),
    (400, error_body(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), AuthenticationError, AuthenticationError),
    (400, error_body(400, "FAILED_PRECONDITION", "Please enable billing on your project."), AccountLockedError, AccountLockedError),
    (400, error_body(400, "FAILED_PRECONDITION", "The file is not ready."), RequestRefusedError, RequestRefusedError),
    (400, "<html>Your client has issued a malformed request", RequestRefusedError, ServiceUnavailableError),
    (401, error_body(401, "UNAUTHENTICATED"), AuthenticationError, AuthenticationError),
    (401, "<html>", AuthenticationError, AuthenticationError),
    (403, error_body(403, "PERMISSION_DENIED", "m", info("SERVICE_DISABLED")), AuthenticationError, AuthenticationError),
    (403, error_body(403, "PERMISSION_DENIED", "m", info("BILLING_DISABLED")), AccountLockedError, AccountLockedError),
    (403, error_body(403, "PERMISSION_DENIED", "Consumer 'projects/1' has been suspended."), AccountLockedError, AccountLockedError),
    (404, error_body(404, "NOT_FOUND"), RequestRefusedError, RequestRefusedError),
    (404, "<html>", RequestRefusedError, ServiceUnavailableError),
    (408, "late", SubmitUnknownError, ServiceUnavailableError),
    (409, error_body(409, "ABORTED"), SubmitUnknownError, ServiceUnavailableError),
    (413, "<html>", RequestRefusedError, ServiceUnavailableError),
    (429, error_body(429, "RESOURCE_EXHAUSTED"), RateLimitError, RateLimitError),
    (429, None, RateLimitError, RateLimitError),
    (499, error_body(499, "CANCELLED"), SubmitUnknownError, ServiceUnavailableError),
    (500, error_body(500, "INTERNAL"), ServiceUnavailableError, ServiceUnavailableError),
    (500, [error_body(500, "INTERNAL")], ServiceUnavailableError, ServiceUnavailableError),
    (500, {"error": "INTERNAL"}, SubmitUnknownError, ServiceUnavailableError),
    (500, {"error": {"message": "an ingress's JSON"}}, SubmitUnknownError, ServiceUnavailableError),
    (502, error_body(502, "UNKNOWN"), SubmitUnknownError, ServiceUnavailableError),
    (503, error_body(503, "UNAVAILABLE", "The model is overloaded."), ServiceUnavailableError, ServiceUnavailableError),
    (503, "no healthy upstream", SubmitUnknownError, ServiceUnavailableError),
    (504, error_body(504, "DEADLINE_EXCEEDED"), SubmitUnknownError, ServiceUnavailableError),
    (302, None, SubmitUnknownError, ServiceUnavailableError),
    (200, error_body(200, "OK"), SubmitUnknownError, ServiceUnavailableError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "paid", "polled"), ROWS, ids=range(len(ROWS)))
def test_an_answer_becomes_our_error(status: int, body: Any, paid: type, polled: type) -> None:
    assert type(google_error("vertex", status, body, {})) is paid
    assert type(google_error("vertex", status, body, {}, is_paid=False)) is polled


@pytest.mark.parametrize(
    ("delay", "header", "pause"),
    [("7s", None, 7), ("0.5s", "9", 0.5), (None, "9", 9), ("soon", "9", 9), ("-3s", None, None), (None, "nan", None), (None, None, None)],
)  # fmt: skip
def test_the_retry_delay_in_the_body_overrides_the_header(
    delay: str | None, header: str | None, pause: float | None
) -> None:
    body = error_body(429, "RESOURCE_EXHAUSTED", "m", {"retryDelay": delay} if delay else "odd")
    error = google_error("vertex", 429, body, {"retry-after": header} if header else {})

    assert error.retry_after_s == pause


def test_a_missing_model_and_a_missing_operation_have_different_kinds() -> None:
    body = error_body(404, "NOT_FOUND")

    assert google_error("vertex", 404, body, {}).kind == "model_retired"
    assert google_error("vertex", 404, body, {}, is_paid=False).kind == "not_found"


@pytest.mark.parametrize("body", [error_body(500, "S" * 9999, "m" * 9999, info("R" * 9999)), "x" * 9999])
def test_a_long_body_gives_a_short_message(body: Any) -> None:
    error = google_error("vertex", 500, body, {})

    assert len(error.message) < 700 and len(error.kind or "") <= 300


@pytest.mark.parametrize("details", [None, "odd", {"a": 1}, [None, 1, {"reason": None}]])
def test_malformed_details_are_ignored(details: Any) -> None:
    body = {"error": {"code": 500, "message": None, "status": None, "details": details}}

    assert type(google_error("vertex", 500, body, {})) is ServiceUnavailableError


@pytest.mark.parametrize(
    ("code", "message", "cls"),
    [
        (3, "bad frame", RequestRefusedError),
        (3, "violates our policies", ContentRefusedError),
        (4, "late", ServiceUnavailableError),
        (7, "no", AuthenticationError),
        (8, "busy", RateLimitError),
        (10, "aborted", ServiceUnavailableError),
        (13, "broken", ServiceUnavailableError),
        (14, "away", ServiceUnavailableError),
        (99, "new", ServiceUnavailableError),
        (None, "none", ServiceUnavailableError),
    ],
)
def test_an_operation_that_failed_is_never_unknown(code: int | None, message: str, cls: type) -> None:
    error = operation_error("vertex", {"code": code, "message": message})

    assert type(error) is cls and message in error.message


def test_an_operation_that_was_cancelled_has_the_kind_of_a_cancelled_run() -> None:
    assert operation_error("vertex", {"code": 1, "message": "cancelled"}).kind == RUN_CANCELLED
