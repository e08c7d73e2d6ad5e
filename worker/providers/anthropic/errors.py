"""Maps an error answer of Anthropic (HTTP status, body and headers) to one of our errors. Pure.

Anthropic's own error body is `{"type": "error", "error": {"type", "message"}}`. With it, no message was made or billed,
unless its content was refused. A body without it comes from a proxy, which cannot know whether the message was made.
Sources: platform.claude.com/docs/en/api/errors, and the SDK (anthropic 2.11.0, `_exceptions.py`). Some refusals come as
400 of the type `invalid_request_error` and differ by their message alone: a disabled organization, a spending limit
(github.com/anthropics/claude-code, issues 9384 and 72457), an answer that was blocked for its content (issue 58367).
"""

import re
from collections.abc import Mapping
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
from worker.providers.fal.errors import retry_after_s

NAME = "anthropic"
_ACCOUNT = re.compile(
    r"credit balance is too low"
    r"|(organization|account|workspace) (has been|is) (disabled|suspended|locked)"
    r"|reached your (specified )?(organization |workspace )?(api )?(usage|spend|spending) limit",
    re.IGNORECASE,
)
_CONTENT = re.compile(r"blocked by (our )?content filter", re.IGNORECASE)
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
    if status == 402 or (status in {400, 401, 403} and _ACCOUNT.search(message)):
        return AccountLockedError
    if status in {401, 403}:  # 403: the key may not use this model or resource
        return AuthenticationError
    if status == 400 and _CONTENT.search(message):
        return ContentRefusedError
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
