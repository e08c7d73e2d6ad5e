"""What fal's key may read on the platform API: three small calls, each of which costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from worker.errors import ServiceUnavailableError
from worker.providers.fal.billing_events import billing_events
from worker.providers.fal.permissions import LIST_REQUESTS, no_access
from worker.providers.fal.platform import FalPlatform
from worker.providers.fal.request_list import PATH

ENDPOINTS = 50  # of one call, by fal's limit
NO_REQUEST = "00000000-0000-0000-0000-000000000000"  # asks for one request, so that a billing answer stays small


@dataclass(frozen=True)
class ListAccess:
    """The list can be read. `requests` were found, and `with_input` of them have their input."""

    requests: int
    with_input: int


async def read_list(platform: FalPlatform, endpoints: Sequence[str], since: float) -> ListAccess:
    """Read the newest requests of these endpoints. Raises `PermissionMissingError` or `ServiceUnavailableError`."""
    start = datetime.fromtimestamp(since, UTC).isoformat().replace("+00:00", "Z")
    query = {"endpoint_id": ",".join(endpoints[:ENDPOINTS]), "start": start, "expand": "payloads", "limit": "20"}
    try:
        response = await platform.http.get(f"{platform.url}{PATH}", params=query)
        items = response.json()["items"] if response.status_code == 200 else []
        found = [item for item in items if item.get("status_code") == 200]
    except (httpx.TransportError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceUnavailableError(f"fal: its list cannot be read ({type(error).__name__})") from error
    if response.status_code in {401, 403}:
        text = f"fal: its list of requests needs the permission {LIST_REQUESTS} (HTTP {response.status_code})"
        raise no_access(response.status_code, text, LIST_REQUESTS)
    if response.status_code != 200:
        raise ServiceUnavailableError(f"fal: HTTP {response.status_code} instead of the list")
    return ListAccess(len(found), sum(isinstance(item.get("json_input"), dict) for item in found))


async def probe_billing(platform: FalPlatform, since: float, *, tagged: bool) -> None:
    """Read no billing event. Raises what `billing_events` raises if they cannot be read."""
    await billing_events(platform.http, platform.url, since=since, tagged=tagged, request_ids=[NO_REQUEST])
