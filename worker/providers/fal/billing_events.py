"""Reads fal's billing events: what each request cost, and the tags that were sent with it.

`GET /v1/models/billing-events` (https://fal.ai/docs/platform-apis/v1/models/billing-events). The plain feed has every
billed request, without tags. The feed with tags (`source=tagged-billed`) is later, and fal has to switch it on for the
account and for each tag. A request that cost nothing has no event, and an event that is missing may still come. A
request may have several events, so its cost is their sum.
"""

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from worker.errors import (
    BrokenPieceError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)
from worker.providers.fal.errors import retry_after_s
from worker.providers.fal.guard import LIST_BYTES
from worker.providers.fal.permissions import READ_BILLING, TAGGED_REPORTING, no_access

PATH = "/v1/models/billing-events"
PAGE = 1000  # events; fal allows 10,000, and allowed 100 in earlier versions of the document
REQUESTS = 50  # request ids of one call
RANGE_S = 90 * 86_400.0  # of one call


@dataclass(frozen=True)
class BillingEvent:
    """What fal billed for one request. Times are seconds since the epoch; `tags` is empty in the feed without tags."""

    request_id: str
    endpoint: str
    units: float | None
    usd: float | None  # after discounts; None if fal names no price
    at: float
    tags: Mapping[str, str] = field(default_factory=dict)


async def billing_events(
    http: httpx.AsyncClient,
    platform_url: str,
    *,
    since: float,
    until: float | None = None,
    tags: Mapping[str, str] | None = None,
    tagged: bool = False,
    request_ids: Sequence[str] | None = None,
) -> list[BillingEvent]:
    """All events of a time, in seconds since the epoch: `until` is exclusive, and now by default.

    `tags` that must all match, or `tagged`, read the feed with tags; it is the only one that can be searched by tag.
    `request_ids` are all requests by default, and none if empty.
    Raises `PermissionMissingError` (what the key or the account needs), `RateLimitError`, `ServiceUnavailableError`,
    or `RequestRefusedError` for a question that fal refuses.
    """
    pages = billing_pages(
        http, platform_url, since=since, until=until, tags=tags, tagged=tagged, request_ids=request_ids
    )
    # fal counts pages, so an event that comes while we read moves others to the next page
    return list({_identity(event): event async for page in pages for event in page}.values())


async def billing_pages(
    http: httpx.AsyncClient,
    platform_url: str,
    *,
    since: float,
    until: float | None = None,
    tags: Mapping[str, str] | None = None,
    tagged: bool = False,
    request_ids: Sequence[str] | None = None,
) -> AsyncIterator[list[BillingEvent]]:
    """See `billing_events`: one page after another. An event may come twice."""
    query: dict[str, Any] = {"limit": str(PAGE)}
    if tags or tagged:
        query["source"] = "tagged-billed"
    if tags:
        query["tag"] = [f"{key}={value}" for key, value in tags.items()]
    for bounds in _ranges(since, until):
        for ids in _chunks(request_ids):
            async for page in _pages(http, f"{platform_url}{PATH}", query | bounds | ids):
                yield page


async def _pages(http: httpx.AsyncClient, url: str, query: Mapping[str, Any]) -> AsyncIterator[list[BillingEvent]]:
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = await _page(http, url, dict(query) | ({"cursor": cursor} if cursor else {}))
        yield _read_events(page)
        cursor = page.get("next_cursor") if page.get("has_more") else None
        if cursor is None:
            return
        if cursor in seen:
            raise ServiceUnavailableError("fal: the billing events repeat a page", provider="fal")
        seen.add(cursor)


async def _page(http: httpx.AsyncClient, url: str, query: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        response = await http.get(url, params=query, extensions={"most_bytes": LIST_BYTES})
    except (httpx.TransportError, BrokenPieceError) as error:
        text = f"fal: no answer from the billing events ({type(error).__name__})"
        raise ServiceUnavailableError(text, provider="fal") from error
    if response.status_code != 200:
        raise _refusal(response, is_tagged="source" in query)
    try:
        page = response.json()
    except ValueError:
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("billing_events"), list):
        raise ServiceUnavailableError("fal: the billing events cannot be read", provider="fal", status=200)
    return page


def _refusal(response: httpx.Response, *, is_tagged: bool) -> ExternalServiceError:
    """The error for this answer. `is_tagged`: of the feed with tags, which fal may not have switched on."""
    status = response.status_code
    said = f"HTTP {status}{f', {text}' if (text := _message(response)) else ''}"
    if status in {401, 403} and not is_tagged:
        needs = f"its key needs the permission {READ_BILLING} (a key of the preset READONLY, BILLING or FULL)"
        return no_access(status, f"fal: {needs} ({said})", READ_BILLING)
    if status in {400, 401, 403, 404, 422, 501} and is_tagged:
        needs = f"its key needs the permission {READ_BILLING}, and fal has to switch on {TAGGED_REPORTING}"
        return no_access(status, f"fal: {needs} ({said})", TAGGED_REPORTING)
    if status == 429:
        after = retry_after_s(response.headers)
        return RateLimitError(
            "fal: too many requests for billing events", provider="fal", status=429, retry_after_s=after
        )
    cls = ServiceUnavailableError if status >= 500 or status < 400 else RequestRefusedError
    return cls(f"fal: no billing events ({said})", provider="fal", status=status)


def _message(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    return " ".join(str(error.get("message", "")).split())[:300] if isinstance(error, dict) else ""


def _ranges(since: float, until: float | None) -> Iterator[dict[str, str]]:
    """The time in parts that fal answers in one call. Without `until`, one part until now."""
    if until is None:
        yield {"start": _iso(since)}
        return
    while since < until:
        end = min(until, since + RANGE_S)
        yield {"start": _iso(since), "end": _iso(end)}
        since = end


def _chunks(request_ids: Sequence[str] | None) -> Iterator[dict[str, list[str]]]:
    """The ids in parts of one call; without ids, one part for all requests."""
    if request_ids is None:
        yield {}
        return
    for first in range(0, len(request_ids), REQUESTS):
        yield {"request_id": list(request_ids[first : first + REQUESTS])}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _read_events(page: Mapping[str, Any]) -> list[BillingEvent]:
    try:
        return [_read_event(item) for item in page["billing_events"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceUnavailableError("fal: a billing event cannot be read", provider="fal", status=200) from error


def _read_event(item: Mapping[str, Any]) -> BillingEvent:
    at = datetime.fromisoformat(item["timestamp"])
    units = _amount(item.get("output_units"))
    return BillingEvent(
        request_id=str(item["request_id"]),
        endpoint=str(item["endpoint_id"]),
        units=units,
        usd=_usd(item),
        at=(at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp(),
        tags={str(key): str(value) for key, value in (item.get("tags") or {}).items()},
    )


def _usd(item: Mapping[str, Any]) -> float | None:
    """The cost after discounts. `cost_total` came later than the nano-dollars, which have the same value."""
    nano, total = _amount(item.get("cost_estimate_nano_usd")), _amount(item.get("cost_total"))
    return total if nano is None else nano / 1e9


def _amount(value: Any) -> float | None:
    """A sum or a number of units. None if there is none, or if it is no amount: infinite, or less than nothing."""
    amount = None if value is None else float(value)
    return amount if amount is not None and math.isfinite(amount) and amount >= 0 else None


def _identity(event: BillingEvent) -> tuple[object, ...]:
    return event.request_id, event.at, event.units, event.usd
