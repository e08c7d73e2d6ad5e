"""Searches fal's list of requests for a submission whose answer was lost.

The list (`GET /v1/models/requests/by-endpoint`, https://fal.ai/docs/platform-apis) has the requests that have ended,
with their inputs if the account stores payloads. It has no id of ours, so inputs are compared. If we chose a seed, a
match must have every argument that was sent, and may have more. Without a seed of ours, the inputs must be equal, and
every match is returned: the caller knows which of them other jobs have.

A submission that is not listed may still exist: the list comes late (hours, on fal's status page), and lacks what still
runs. So a search also says how fresh the list is, from the newest end that it shows of any request of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from worker.errors import BrokenPieceError, ServiceUnavailableError
from worker.providers.base import LostSubmission
from worker.providers.fal.guard import LIST_BYTES
from worker.providers.fal.permissions import LIST_REQUESTS, no_access

PATH = "/v1/models/requests/by-endpoint"
PAGES = 20  # of 100 requests
ENDPOINTS = 50  # of one call, by fal's limit
EARLIER_S = 60.0  # the clocks of the ledger and of fal may differ
LATER_S = 180.0  # at most, from our row to `sent_at` in fal's list: a POST may hang, and fal may hold it back


@dataclass(frozen=True)
class Listed:
    """The ids of the requests that match, the oldest first; and the newest end of a request of ours in the list."""

    request_ids: tuple[str, ...]
    until: float | None


async def find_request(http: httpx.AsyncClient, platform_url: str, lost: LostSubmission) -> Listed:
    """Search the whole list since the submission.

    Raises `PermissionMissingError` when our key may not read it, `ServiceUnavailableError` or `RateLimitError` when it
    could not be read now. A list that is too long to be read, or in which several requests have our seed, is one of
    these: it proves nothing.
    """
    found: dict[str, float] = {}
    ends: list[float] = []
    query = {"endpoint_id": lost.endpoint, "expand": "payloads", "limit": "100"}
    cursor: str | None = None
    for _ in range(PAGES):
        page = await _page(http, platform_url, lost, query | ({"cursor": cursor} if cursor else {}))
        items = [item for item in page["items"] if isinstance(item, dict)]
        found |= {str(item["request_id"]): _time(item.get("sent_at")) or 0.0 for item in items if _matches(item, lost)}
        ends += _ends(items)
        cursor = page.get("next_cursor") if page.get("has_more") else None
        if cursor is None:
            break
    if lost.is_marked and len(found) == 1:
        return Listed(tuple(found), None)
    if cursor or (lost.is_marked and found):
        why = "it is too long" if cursor else "several requests match"
        raise ServiceUnavailableError(f"fal: its list does not tell which request is ours: {why}", provider="fal")
    ends += await _ends_of_others(http, platform_url, lost)
    return Listed(tuple(sorted(found, key=found.__getitem__)), max(ends, default=None))


async def _ends_of_others(http: httpx.AsyncClient, platform_url: str, lost: LostSubmission) -> list[float]:
    """When the newest requests on our other endpoints ended."""
    ends: list[float] = []
    for first in range(0, len(lost.others), ENDPOINTS):
        names = ",".join(lost.others[first : first + ENDPOINTS])
        page = await _page(http, platform_url, lost, {"endpoint_id": names, "limit": "10"})
        ends += _ends([item for item in page["items"] if isinstance(item, dict)])
    return ends


async def _page(
    http: httpx.AsyncClient, platform_url: str, lost: LostSubmission, query: Mapping[str, str]
) -> Mapping[str, Any]:
    start = datetime.fromtimestamp(lost.since - EARLIER_S, UTC).isoformat().replace("+00:00", "Z")
    try:
        query = {**query, "start": start}
        response = await http.get(f"{platform_url}{PATH}", params=query, extensions={"most_bytes": LIST_BYTES})
    except BrokenPieceError as error:
        raise ServiceUnavailableError(error.message, provider="fal", kind=error.kind) from error
    status = response.status_code
    if status in {401, 403}:
        needs = f"fal: its list of requests needs a key with the permission {LIST_REQUESTS} (HTTP {status})"
        raise no_access(status, needs, LIST_REQUESTS)
    try:
        page = response.json()
    except ValueError:
        page = None
    if status != 200 or not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise ServiceUnavailableError(f"fal: HTTP {status} instead of the list", provider="fal", status=status)
    return page


def _matches(item: Mapping[str, Any], lost: LostSubmission) -> bool:
    if item.get("endpoint_id", lost.endpoint) != lost.endpoint:
        return False
    sent, request_id = item.get("json_input"), item.get("request_id")
    if not isinstance(sent, dict) or not request_id or request_id in lost.known or _is_later(item, lost):
        return False
    if lost.is_marked:  # fal may have added defaults
        return all(sent.get(name) == value for name, value in lost.arguments.items())
    return sent == dict(lost.arguments)


def _is_later(item: Mapping[str, Any], lost: LostSubmission) -> bool:
    """Whether it was sent later than ours can have been."""
    sent_at = _time(item.get("sent_at"))
    return sent_at is not None and sent_at > lost.since + LATER_S


def _ends(items: list[dict[str, Any]]) -> list[float]:
    return [at for item in items if (at := _time(item.get("ended_at"))) is not None]


def _time(stamp: object) -> float | None:
    try:
        at = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
