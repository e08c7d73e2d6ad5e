"""fal's billing events over HTTP: found by tag and by request id, and what is missing where they cannot be read."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from config.keys.fal import FalKey
from config.settings import FalSettings
from tests.contract.providers.conftest import Twin
from worker.errors import RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.net.http import open_transport
from worker.providers.base import Call, Ended
from worker.providers.fal import billing_events as module
from worker.providers.fal.billing_events import BillingEvent, billing_events
from worker.providers.fal.permissions import READ_BILLING, TAGGED_REPORTING, PermissionMissingError
from worker.providers.fal.platform import FalPlatform, open_platform
from worker.providers.fal.provider import Fal

ENDPOINT = "fal-ai/flux/schnell"
CALL = Call("job-1", ENDPOINT, {"prompt": "a kiln", "image_size": "square"})


@pytest.fixture(params=[30])
async def platform(twin: Twin, request: pytest.FixtureRequest) -> AsyncIterator[FalPlatform]:
    """fal's platform calls, with so many seconds for an answer."""
    twin.pace(seconds=0, queue_seconds=0)
    settings = FalSettings(fal_base_url=twin.url, fal_timeout_s=request.param)
    async with open_platform(settings, FalKey("FAL_KEY", SecretStr("id:secret")), open_transport(4)) as opened:
        yield opened


async def ended(fal: Fal, call: Call = CALL) -> str:
    ticket = await fal.submit(call)
    while not isinstance(await fal.poll(ENDPOINT, ticket), Ended):
        pass
    return ticket.request_id


async def read(platform: FalPlatform, **wanted: Any) -> list[BillingEvent]:
    return await billing_events(platform.http, platform.url, **{"since": time.time() - 600} | wanted)


def order(twin: Twin, **settings: Any) -> None:
    twin.http.post("/_twin/platform", json=settings).raise_for_status()


async def test_an_attempt_is_found_by_its_job(fal: Fal, platform: FalPlatform) -> None:
    request_id = await ended(fal)
    await ended(fal, replace(CALL, job_id="job-2"))
    (event,) = await read(platform, tags={"job": "job-1"})
    assert event == BillingEvent(request_id, ENDPOINT, 1.0, 0.003, event.at, {"job": "job-1", "attempt": "1"})
    assert abs(event.at - time.time()) < 60
    assert await read(platform, tags={"job": "job-1", "attempt": "2"}) == []


async def test_requests_are_found_by_their_ids(fal: Fal, platform: FalPlatform, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "REQUESTS", 2)  # ids of one call
    made = [await ended(fal) for _ in range(4)]
    found = await read(platform, request_ids=made[:3])
    assert {event.request_id for event in found} == set(made[:3])
    assert all(event.tags == {} for event in found), "the plain feed has no tags"
    assert await read(platform, request_ids=[]) == []
    assert {event.tags["job"] for event in await read(platform, tagged=True)} == {"job-1"}


async def test_all_pages_are_read(fal: Fal, platform: FalPlatform, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    made = [await ended(fal) for _ in range(5)]
    assert [event.request_id for event in await read(platform)] == made[::-1]


async def test_a_long_time_is_read_in_parts(fal: Fal, platform: FalPlatform) -> None:
    request_id = await ended(fal)
    now = time.time()
    (event,) = await read(platform, since=now - 200 * 86_400, until=now + 60)
    assert event.request_id == request_id
    assert await read(platform, since=now - 200 * 86_400, until=now - 60) == []


@pytest.mark.parametrize(
    ("setting", "tags", "permission"),
    [
        ({"billing_allowed": False}, None, READ_BILLING),
        ({"billing_allowed": False}, {"job": "1"}, TAGGED_REPORTING),
        ({"tagged_reporting": False}, {"job": "1"}, TAGGED_REPORTING),
    ],
)
async def test_what_is_missing_is_named(
    platform: FalPlatform, twin: Twin, setting: dict[str, bool], tags: Any, permission: str
) -> None:
    order(twin, **setting)
    with pytest.raises(PermissionMissingError) as refused:
        await read(platform, tags=tags)
    assert refused.value.permission == permission and refused.value.status == 403
    assert READ_BILLING in str(refused.value) and permission in str(refused.value)


FAULTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"what": "http", "status": 401}, PermissionMissingError),
    ({"what": "http", "status": 429}, RateLimitError),
    ({"what": "http", "status": 400}, RequestRefusedError),
    ({"what": "http", "status": 500}, ServiceUnavailableError),
    ({"what": "nginx", "status": 502}, ServiceUnavailableError),
    ({"what": "garbage"}, ServiceUnavailableError),
    ({"what": "http", "status": 200, "body": {"billing_events": [{"request_id": "1"}]}}, ServiceUnavailableError),
    ({"what": "http", "status": 200, "body": {"items": []}}, ServiceUnavailableError),
    ({"what": "drop", "times": 2}, ServiceUnavailableError),  # aiohttp repeats a GET once
]


@pytest.mark.parametrize(
    ("fault", "cls"), FAULTS, ids=lambda value: str(value.get("status")) if isinstance(value, dict) else ""
)
async def test_an_answer_that_is_no_list_is_an_error(
    platform: FalPlatform, twin: Twin, fault: dict[str, Any], cls: type[Exception]
) -> None:
    twin.script(call="billing", **fault)
    with pytest.raises(cls) as failed:
        await read(platform)
    assert type(failed.value) is cls


@pytest.mark.parametrize("platform", [0.5], indirect=True)
async def test_a_list_that_does_not_come_is_an_error(platform: FalPlatform, twin: Twin) -> None:
    twin.script(call="billing", what="hang", seconds=60)
    with pytest.raises(ServiceUnavailableError):
        await read(platform)


async def test_an_endless_list_is_an_error(platform: FalPlatform, twin: Twin) -> None:
    same = {"billing_events": [], "has_more": True, "next_cursor": "Mg=="}
    twin.script(call="billing", what="http", status=200, body=same, times=-1)
    with pytest.raises(ServiceUnavailableError, match="repeat a page"):
        await read(platform)


async def test_an_event_that_two_pages_have_counts_once(platform: FalPlatform, twin: Twin) -> None:
    event = {"request_id": "r", "endpoint_id": "e", "timestamp": "2026-11-01T00:00:00Z", "output_units": 2}
    first = {"billing_events": [event | {"cost_total": 0.5}], "has_more": True, "next_cursor": "Mg=="}
    last = {"billing_events": [event | {"cost_estimate_nano_usd": 5e8}, event | {"cost_total": None}]}
    for body in (first, last):
        twin.script(call="billing", what="http", status=200, body=body)
    assert [(found.usd, found.units) for found in await read(platform)] == [(0.5, 2.0), (None, 2.0)]


async def test_another_transport_fails_with_our_error() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(ServiceUnavailableError):
            await billing_events(http, "http://127.0.0.1:1", since=0)
