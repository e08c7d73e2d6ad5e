"""What an answer of Anthropic means: HTTP status, body and headers to one of our errors. Pure.

Anthropic's own word is a JSON object `{"type": "error", "error": {"type", "message"}}`; whoever sends it has made no
message and bills none. The same status without it is a proxy's, which cannot know whether the message was made.
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
    """The error that this answer stands for; 429 and refusals are believed of anyone, for they let nothing through."""
    kind, said = _kind_and_message(body)
    cls = _class(status, kind, said)
    if cls is RequestRefusedError and status == 404 and said.startswith("model:"):
        kind = "model_retired"
    what = said or ("no word of its own" if kind is None else "no detail")
    text = f"anthropic: {what} (HTTP {status}{', ' + kind if kind else ''})"
    return cls(text, provider=NAME, status=status, kind=kind, retry_after_s=retry_after_s(headers))


def no_answer_error(what: str, *, sent: bool) -> ExternalServiceError:
    """No answer came. Where the request may have left, the message may have been made and billed."""
    if sent:
        return SubmitUnknownError(f"anthropic: {what}; the message may have been made", provider=NAME)
    return ServiceUnavailableError(f"anthropic: {what}", provider=NAME)


def _class(status: int, kind: str | None, said: str) -> type[ExternalServiceError]:
    if status == 429:
        return RateLimitError
    if status == 401:
        return AuthenticationError
    if status in {402, 403} or _NO_CREDIT in said.lower():
        return AccountLockedError
    if status >= 500 or status in _AMBIGUOUS_4XX:
        return SubmitUnknownError if kind is None else ServiceUnavailableError
    return RequestRefusedError if status >= 400 else SubmitUnknownError


def _kind_and_message(body: Any) -> tuple[str | None, str]:
    """The error's type and its message, in one line; (None, "") where it is not Anthropic that speaks."""
    match body:
        case {"type": "error", "error": {"type": str(kind)} as error}:
            said = " ".join(str(error.get("message") or "").split())[:500]
            return kind[:100], said.encode("utf-8", "replace").decode()
    return None, ""
