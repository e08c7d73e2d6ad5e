"""Maps an error answer of Anthropic (HTTP status, body and headers) to one of our errors. Pure.

Anthropic's own error body is `{"type": "error", "error": {"type", "message"}}`. With it, no message was made or billed.
A body without it comes from a proxy, which cannot know whether the message was made.
Sources: platform.claude.com/docs/en/api/errors, and the SDK (anthropic 2.11.0, `_exceptions.py`).
"""

from collections.abc import Mapping
from typing import Any

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.providers.fal.errors import retry_after_s

NAME = "anthropic"
_NO_CREDIT = "credit balance is too low"  # comes as a 400 of the type invalid_request_error
_AMBIGUOUS_4XX = frozenset({408, 409})


def anthropic_error(status: int, body: Any, headers: Mapping[str, str]) -> ExternalServiceError:
    """The error for this answer. A 429 or a 4xx refusal counts from a proxy, too: it did not pass the request on."""
    kind, message = _kind_and_message(body)
    cls = _class(status, kind, message)
    if cls is RequestRefusedError and status == 404 and message.startswith("model:"):
        kind = "model_retired"
    what = message or ("no error body of Anthropic's" if kind is None else "no detail")
    text = f"anthropic: {what} (HTTP {status}{', ' + kind if kind else ''})"
    return cls(text, provider=NAME, status=status, kind=kind, retry_after_s=retry_after_s(headers))


def no_answer_error(what: str, *, sent: bool) -> ExternalServiceError:
    """The error for a call without an answer. If it was `sent`, the message may have been made and billed."""
    if sent:
        return SubmitUnknownError(f"anthropic: {what}; the message may have been made", provider=NAME)
    return ServiceUnavailableError(f"anthropic: {what}; nothing was sent", provider=NAME)


def _class(status: int, kind: str | None, message: str) -> type[ExternalServiceError]:
    if status == 429:
        return RateLimitError
    if status == 401:
        return AuthenticationError
    if status in {402, 403} or _NO_CREDIT in message.lower():
        return AccountLockedError
    if status >= 500 or status in _AMBIGUOUS_4XX:
        return SubmitUnknownError if kind is None else ServiceUnavailableError
    return RequestRefusedError if status >= 400 else SubmitUnknownError


def _kind_and_message(body: Any) -> tuple[str | None, str]:
    """The error's type, and its message on one line; (None, "") for a body that is not Anthropic's."""
    match body:
        case {"type": "error", "error": {"type": str(kind)} as error}:
            message = " ".join(str(error.get("message") or "").split())[:500]
            return kind[:100], message.encode("utf-8", "replace").decode()
    return None, ""
