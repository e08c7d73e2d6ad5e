"""Maps an error answer of Google, or the error of an operation, to one of our errors. Pure.

Sources: the reference of google.rpc.Status with ErrorInfo and RetryInfo; Google's page on 429 ("no charge for a failed
400 or 500"); threads about the Gemini API's 400 for a bad key. Only an error body of Google proves that nothing was
made. After any other 5xx, and after a timeout, the piece may have been made and billed.
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

MAX_CHARS = 300  # characters of a vendor's text in a message
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
    """The parts of Google's error body that are used here."""

    message: str
    status: str
    reasons: frozenset[str]
    retry_s: float | None

    @property
    def kind(self) -> str | None:
        """The reason in an ErrorInfo, which is more precise, else the status."""
        return min(self.reasons, default=None) or self.status or None


def google_error(
    provider: str, status: int, body: Any, headers: Mapping[str, str], *, is_paid: bool = True
) -> ExternalServiceError:
    """The error for an answer other than 200. `is_paid`: the call may have made a piece."""
    found = _error_body(body)
    cls, kind = _class(status, found, is_paid)
    message = found.message if found else "no error body of Google's"
    text = f"{provider}: {message} (HTTP {status}{', ' + kind if kind else ''})"
    pause = retry_after_s(headers) if found is None or found.retry_s is None else found.retry_s
    return cls(text, provider=provider, status=status, kind=kind, retry_after_s=pause)


def operation_error(provider: str, error: Mapping[str, Any]) -> ExternalServiceError:
    """The error of a long operation, from its gRPC code and message. It ran, so never `SubmitUnknownError`."""
    code = error.get("code")
    status = _HTTP_OF_GRPC.get(code, 500) if isinstance(code, int) else 500
    found = google_error(provider, status, {"error": {**error, "code": status}}, {})
    if type(found) is SubmitUnknownError:
        kind = RUN_CANCELLED if code == _GRPC_CANCELLED else found.kind
        return ServiceUnavailableError(found.message, provider=provider, status=status, kind=kind)
    return found


def _class(status: int, found: ErrorBody | None, is_paid: bool) -> tuple[type[ExternalServiceError], str | None]:
    kind = found.kind if found else None
    unknown: type[ExternalServiceError] = SubmitUnknownError if is_paid else ServiceUnavailableError
    if status == 429:
        return RateLimitError, kind
    if found is None:
        if status in {401, 403}:
            return AuthenticationError, kind
        refused = 400 <= status < 500 and status not in _AMBIGUOUS
        return (RequestRefusedError if refused and is_paid else unknown), kind
    if found.reasons & _BAD_KEY:
        return AuthenticationError, kind
    if status in {401, 403} or (found.status == "FAILED_PRECONDITION" and _NOT_FOR_US.search(found.message)):
        is_locked = bool(found.reasons & _LOCKED_REASONS or _LOCKED.search(found.message))
        return (AccountLockedError if is_locked else AuthenticationError), kind
    if status == 404:
        return RequestRefusedError, "model_retired" if is_paid else "not_found"
    if status in _NOTHING_MADE:
        return ServiceUnavailableError, kind
    if status >= 500 or status in _AMBIGUOUS or status < 400:
        return unknown, kind
    if _CONTENT.search(found.message):
        return ContentRefusedError, kind
    return RequestRefusedError, kind


def _error_body(body: Any) -> ErrorBody | None:
    """The error in a body; None if it is not Google's. Some of its services wrap it in a list."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or "message" not in error or "code" not in error:
        return None
    details = error.get("details")
    dicts = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    reasons = frozenset(str(detail["reason"])[:MAX_CHARS] for detail in dicts if detail.get("reason"))
    pauses = [match for detail in dicts if (match := _SECONDS.fullmatch(str(detail.get("retryDelay", ""))))]
    retry_s = float(pauses[0][1]) if pauses else None
    return ErrorBody(one_line(error.get("message")), one_line(error.get("status")), reasons, retry_s)


def one_line(text: object) -> str:
    """A vendor's text for a message: on one line, cut to `MAX_CHARS`."""
    return " ".join(str(text or "").split())[:MAX_CHARS]
