"""Hundreds of URLs as somebody who means harm would give them: all refused, no byte sent inside, nothing repeated.

Each goes through `InputFiles.bring`, as a caller's would. One server plays the outside; its name is opened. Whatever else
listens on this machine is inside, and counts.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import httpx
import pytest
from obstore.store import MemoryStore

from config.allowed_addresses import read_allowed
from config.settings import GatewaySettings
from tests.integration.foreign.cases import KEY, MOST_BYTES, PARTS, PUBLIC_URL, Case, dns
from tests.integration.foreign.world import HOST, SECRET, Outside, Traps, resolve_as, watch_connects
from tests.unit.files.files import picture
from worker.errors import ExternalServiceError, RequestRefusedError
from worker.files.archive import ArchiveLimits
from worker.files.input_refs import OwnUrls
from worker.files.inputs import InputFiles, InputLimits
from worker.files.store import GatewayUrls, ObjectStore
from worker.files.verify import Verifier, VerifyLimits
from worker.net.http import open_downloads
from worker.net.public import AddressPolicy

OURS = GatewaySettings(public_url=PUBLIC_URL, secret=KEY, _env_file=None)  # type: ignore[call-arg, arg-type]


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with Outside().open() as server:
        yield server


@pytest.fixture
async def traps() -> AsyncIterator[Traps]:
    async with Traps().open() as both:
        yield both


@pytest.fixture
async def bring(outside: Outside) -> AsyncIterator[Callable[[Case], object]]:
    """Brings one case, with much or little time."""
    policy = AddressPolicy(read_allowed(f"{HOST}:{outside.port}"))
    store = ObjectStore(MemoryStore(), GatewayUrls(KEY, PUBLIC_URL, time.time))
    verifier = Verifier(VerifyLimits(20_000_000))
    limits = {"concurrent": 32, "archive": ArchiveLimits(1000, 4 << 20, 100)}
    async with open_downloads(64, connect_s=5, read_s=5, policy=policy) as client:
        patient, hasty = (
            InputFiles(client, store, verifier, OwnUrls(OURS), policy, InputLimits(total_s=total_s, **limits))  # type: ignore[arg-type]
            for total_s in (30, 0.4)
        )
        yield lambda case: (hasty if case.hasty else patient).bring([case.ref], most_bytes=MOST_BYTES, kind=case.of)
    verifier.close()


async def outcome(bring: Callable[[Case], object], case: Case) -> tuple[Case, object]:
    try:
        return case, await bring(case)  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 - judged by its class
        return case, error


def is_refused(case: Case, what: object) -> bool:
    """Final with one of the kinds that are right, or passing where that is; and nothing is repeated in words."""
    if not isinstance(what, ExternalServiceError) or SECRET in what.message or not what.message.startswith("files.0: "):
        return False
    return (what.kind if isinstance(what, RequestRefusedError) else None) in case.kinds


async def test_hundreds_of_hostile_urls_are_refused_and_no_byte_goes_inside(
    outside: Outside, traps: Traps, bring: Callable[[Case], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases: list[Case] = []

    def add(ref: str, *kinds: str | None, of: Literal["image", "file"] = "image", hasty: bool = False) -> None:
        cases.append(Case(ref, frozenset(kinds), of, hasty))

    for part in PARTS:
        part(add, outside, traps.port)
    resolve_as(monkeypatch, dns())
    connects = watch_connects(monkeypatch)

    seen = await asyncio.gather(*(outcome(bring, case) for case in cases))

    assert len({case.ref for case in cases}) >= 400
    assert [(case.ref[:150], what) for case, what in seen if not is_refused(case, what)] == []
    assert (
        sum(isinstance(what, RequestRefusedError) for _, what in seen) >= 330
    )  # the others may be tried again, in vain
    assert (traps.connections, traps.bytes) == (0, 0)
    public = {("93.184.216.34", traps.port)}  # what the changing name was when it was checked
    assert set(connects) == {("127.0.0.1", outside.port)} | public


async def test_a_picture_from_outside_comes_over_five_redirects(
    outside: Outside, bring: Callable[[Case], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, dns())
    url = outside.answer("good.png", picture())
    for _ in range(5):
        url = outside.redirect(url)

    _, what = await outcome(bring, Case(url, frozenset()))

    assert [(each.content_type, each.data) for each in what] == [("image/png", picture())]  # type: ignore[attr-defined]


async def test_the_traps_would_count(traps: Traps) -> None:
    async with open_downloads(2) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://127.0.0.1:{traps.port}/", timeout=0.2)
    async with asyncio.timeout(10):
        while not traps.bytes:
            await asyncio.sleep(0.01)
    assert traps.connections == 1
