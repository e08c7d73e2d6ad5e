"""Maps an error answer of fal (HTTP status, body and headers) to one of our errors. Pure.

Sources: fal's documentation of model errors and request errors (docs.fal.ai/errors), and threads of users about locked
accounts. fal asks clients to switch on `type`, never on `msg`. A 422 of an unknown type is final; 5xx are not billed.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)
from worker.providers.base import RUN_CANCELLED

_CANCELLED_STATUS = 499  # the result of a cancelled request (docs.fal.ai/errors: `client_cancelled`)
# "User is locked" is fal's text. Those of its spending controls are not documented.
_ACCOUNT = re.compile(r"locked|exhausted|balance|spending|budget", re.IGNORECASE)
_CONTENT = frozenset({"content_policy_violation"})
_RETRYABLE_IF_TOLD = frozenset(
    {"internal_server_error", "generation_timeout", "downstream_service_error", "downstream_service_unavailable"}
)
_INFRASTRUCTURE = frozenset(
    {
        "request_timeout",
        "startup_timeout",
        "runner_scheduling_failure",
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
        "runner_incomplete_response",
        "runner_server_error",
        "internal_error",
    }
)


def fal_error(status: int, body: Any, headers: Mapping[str, str]) -> ExternalServiceError:
    """The error for this answer. `headers` have lower-case names."""
    detail = body.get("detail") if isinstance(body, dict) else body
    kind = _kind(body, detail, headers)
    text = f"fal: {_text(detail) or 'no detail'} (HTTP {status}{', ' + kind if kind else ''})"
    kind = RUN_CANCELLED if status == _CANCELLED_STATUS else kind
    return _class(status, kind, text, headers)(
        text, provider="fal", status=status, kind=kind, retry_after_s=retry_after_s(headers)
    )


def _class(status: int, kind: str | None, text: str, headers: Mapping[str, str]) -> type[ExternalServiceError]:
    if status == 402 or (status == 403 and _ACCOUNT.search(text)):
        return AccountLockedError
    if status in {401, 403}:
        return AuthenticationError
    if status == 429:
        return RateLimitError
    if kind in _CONTENT:
        return ContentRefusedError
    if kind in _RETRYABLE_IF_TOLD:
        return ServiceUnavailableError if _is_retryable(headers, default=status >= 500) else RequestRefusedError
    if kind in _INFRASTRUCTURE and headers.get("x-fal-request-timeout-type") != "user":
        return ServiceUnavailableError
    return ServiceUnavailableError if status >= 500 else RequestRefusedError


def _is_retryable(headers: Mapping[str, str], *, default: bool) -> bool:
    value = headers.get("x-fal-needs-retry") or headers.get("x-fal-retryable")
    return default if value is None else value.lower() in {"1", "true", "yes"}


def _kind(body: Any, detail: Any, headers: Mapping[str, str]) -> str | None:
    kind = body.get("error_type") if isinstance(body, dict) else None
    if not kind and isinstance(detail, list) and detail and isinstance(detail[0], dict):
        kind = detail[0].get("type")
    return str(kind or headers.get("x-fal-error-type") or "")[:100] or None


def _text(detail: Any) -> str:
    """One line: the message, or `field: message` for each item of a 422."""
    if isinstance(detail, list):
        return "; ".join(_item(item) for item in detail[:8])
    return " ".join(str(detail or "").split())[:500]


def _item(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)[:200]
    loc = item.get("loc")
    where = ".".join(str(part)[:100] for part in loc[:8] if part != "body") if isinstance(loc, list) else ""
    return f"{where}: {str(item.get('msg', ''))[:200]}" if where else str(item.get("msg", ""))[:200]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, from seconds or a date; None if it is missing or cannot be read."""
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(value: str) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
