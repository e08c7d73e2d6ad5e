"""What Google's answer means: HTTP status, body and headers, or an operation's error, to one of our errors. Pure.

Sources: the reference of google.rpc.Status with ErrorInfo and RetryInfo; Google's page on 429 ("no charge for a failed
400 or 500"); threads about the Gemini API's 400 for a bad key. Only Google's own body says that nothing was made: any
other 5xx, and a deadline that passed, leave open whether the piece was made and paid.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from worker.providers.fal.errors import retry_after_s

MAX_CHARS = 300  # characters of a vendor's words in a message
_NOTHING_MADE = frozenset({500, 501, 503})
_AMBIGUOUS = frozenset({408, 409, 499})
_LOCKED = re.compile(r"billing|suspended|account (?:is )?(?:disabled|closed)", re.IGNORECASE)
_LOCKED_REASONS = frozenset({"BILLING_DISABLED", "CONSUMER_SUSPENDED"})
_NOT_FOR_US = re.compile(r"billing|location is not supported", re.IGNORECASE)
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
_CONTENT = re.compile(r"usage guidelines|responsible ai|support code|violates? our policies", re.IGNORECASE)
_GRPC_CANCELLED = 1
_HTTP_OF_GRPC = {
    _GRPC_CANCELLED: 499,
    3: 400,
    4: 504,
    5: 404,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    16: 401,
}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


@dataclass(frozen=True)
class ErrorBody:
    """Google's own words in an error body."""

    message: str
    status: str
    reasons: frozenset[str]
    retry_s: float | None

    @property
    def kind(self) -> str | None:
        """The most precise word: an ErrorInfo's reason, else the status."""
        return min(self.reasons, default=None) or self.status or None


def google_error(
    provider: str, status: int, body: Any, headers: Mapping[str, str], *, is_paid: bool = True
) -> ExternalServiceError:
    """The error that an answer other than 200 stands for. `is_paid`: the call could have made a piece."""
    said = _error_body(body)
    cls, kind = _class(status, said, is_paid)
    words = said.message if said else "not in Google's words"
    text = f"{provider}: {words} (HTTP {status}{', ' + kind if kind else ''})"
    pause = retry_after_s(headers) if said is None or said.retry_s is None else said.retry_s
    return cls(text, provider=provider, status=status, kind=kind, retry_after_s=pause)


def operation_error(provider: str, error: Mapping[str, Any]) -> ExternalServiceError:
    """The error that a long operation ended with: a gRPC code and a message. It ran, so nothing is unknown."""
    code = error.get("code")
    status = _HTTP_OF_GRPC.get(code, 500) if isinstance(code, int) else 500
    found = google_error(provider, status, {"error": {**error, "code": status}}, {})
    if type(found) is SubmitUnknownError:
        kind = RUN_CANCELLED if code == _GRPC_CANCELLED else found.kind
        return ServiceUnavailableError(found.message, provider=provider, status=status, kind=kind)
    return found


def _class(status: int, said: ErrorBody | None, is_paid: bool) -> tuple[type[ExternalServiceError], str | None]:
    kind = said.kind if said else None
    open_ended: type[ExternalServiceError] = SubmitUnknownError if is_paid else ServiceUnavailableError
    if status == 429:
        return RateLimitError, kind
    if said is None:
        if status in {401, 403}:
            return AuthenticationError, kind
        refused = 400 <= status < 500 and status not in _AMBIGUOUS
        return (RequestRefusedError if refused and is_paid else open_ended), kind
    if said.reasons & _BAD_KEY:
        return AuthenticationError, kind
    if status in {401, 403} or (said.status == "FAILED_PRECONDITION" and _NOT_FOR_US.search(said.message)):
        is_locked = bool(said.reasons & _LOCKED_REASONS or _LOCKED.search(said.message))
        return (AccountLockedError if is_locked else AuthenticationError), kind
    if status == 404:
        return RequestRefusedError, "model_retired" if is_paid else "not_found"
    if status in _NOTHING_MADE:
        return ServiceUnavailableError, kind
    if status >= 500 or status in _AMBIGUOUS or status < 400:
        return open_ended, kind
    if _CONTENT.search(said.message):
        return ContentRefusedError, kind
    return RequestRefusedError, kind


def _error_body(body: Any) -> ErrorBody | None:
    """Google's own error; a list of one is how some of its services wrap it."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or "message" not in error or "code" not in error:
        return None
    details = error.get("details")
    found = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    reasons = frozenset(str(detail["reason"])[:MAX_CHARS] for detail in found if detail.get("reason"))
    pauses = [match for detail in found if (match := _SECONDS.fullmatch(str(detail.get("retryDelay", ""))))]
    words = one_line(error.get("message"))
    return ErrorBody(words, one_line(error.get("status")), reasons, float(pauses[0][1]) if pauses else None)


def one_line(words: object) -> str:
    """A vendor's words for a message: one line, cut."""
    return " ".join(str(words or "").split())[:MAX_CHARS]
