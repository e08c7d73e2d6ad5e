"""Searches fal's list of requests for a submission whose answer was lost.

The list (`GET /v1/models/requests/by-endpoint`, https://fal.ai/docs/platform-apis) has the requests that have ended,
with their inputs if the account stores payloads. It has no id of ours, so inputs are compared. If we chose a seed, a
match must have every argument that was sent, and may have more. Without a seed of ours, the inputs must be equal. A
submission that is not listed may still exist.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from worker.errors import ServiceUnavailableError
from worker.providers.base import LostSubmission

PATH = "/v1/models/requests/by-endpoint"
PAGES = 5
EARLIER_S = 60.0  # the clocks of the ledger and of fal may differ
LATER_S = 180.0  # at most, from our row to `sent_at` in fal's list: a POST may hang, and fal may hold it back


async def find_request(http: httpx.AsyncClient, platform_url: str, lost: LostSubmission) -> str | None:
    """The id of the request, if exactly one matches. Raises `ServiceUnavailableError` or `RateLimitError`."""
    found: set[str] = set()
    cursor: str | None = None
    for _ in range(PAGES):
        page = await _page(http, platform_url, lost, cursor)
        items = page.get("items")
        found |= {str(item["request_id"]) for item in items or () if _matches(item, lost)}
        cursor = page.get("next_cursor") if page.get("has_more") else None
        if cursor is None:
            break
    return found.pop() if len(found) == 1 else None


async def _page(
    http: httpx.AsyncClient, platform_url: str, lost: LostSubmission, cursor: str | None
) -> Mapping[str, Any]:
    start = datetime.fromtimestamp(lost.since - EARLIER_S, UTC).isoformat().replace("+00:00", "Z")
    query = {"endpoint_id": lost.endpoint, "start": start, "expand": "payloads", "limit": "100"}
    response = await http.get(f"{platform_url}{PATH}", params=query | ({"cursor": cursor} if cursor else {}))
    if response.status_code in {
        400,
        401,
        403,
        404,
        422,
    }:  # the key may not read it, or fal has none here
        return {}
    try:
        page = response.json()
    except ValueError:
        page = None
    if response.status_code != 200 or not isinstance(page, dict):
        status = response.status_code
        raise ServiceUnavailableError(f"fal: HTTP {status} instead of the list", provider="fal", status=status)
    return page


def _matches(item: object, lost: LostSubmission) -> bool:
    if not isinstance(item, dict) or item.get("endpoint_id", lost.endpoint) != lost.endpoint:
        return False
    sent, request_id = item.get("json_input"), item.get("request_id")
    if not isinstance(sent, dict) or not request_id or request_id in lost.known or _is_later(item, lost):
        return False
    if lost.is_marked:  # fal may have added defaults
        return all(sent.get(name) == value for name, value in lost.arguments.items())
    return sent == dict(lost.arguments)


def _is_later(item: Mapping[str, Any], lost: LostSubmission) -> bool:
    """Whether it was sent later than ours can have been."""
    try:
        sent_at = datetime.fromisoformat(str(item.get("sent_at")))
    except ValueError:
        return False
    return (sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)).timestamp() > lost.since + LATER_S
