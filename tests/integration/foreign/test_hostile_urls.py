"""Hundreds of malicious URLs: all are refused, no byte is sent to a private address, no message repeats a secret.

Each URL goes through `InputFiles.bring`, like a caller's. One server plays the public internet; its name is allowed. Other
listeners on this machine play private addresses and count connections.
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
from tests.integration.foreign.world import HOST, SECRET, PrivateListeners, PublicServer, resolve_as, watch_connects
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
async def public_server() -> AsyncIterator[PublicServer]:
    async with PublicServer().open() as server:
        yield server


@pytest.fixture
async def listeners() -> AsyncIterator[PrivateListeners]:
    async with PrivateListeners().open() as both:
        yield both


@pytest.fixture
async def bring(public_server: PublicServer) -> AsyncIterator[Callable[[Case], object]]:
    """Fetches the file of a case, with a long or a short timeout."""
    policy = AddressPolicy(read_allowed(f"{HOST}:{public_server.port}"))
    store = ObjectStore(MemoryStore(), GatewayUrls(KEY, PUBLIC_URL, time.time))
    verifier = Verifier(VerifyLimits(20_000_000))
    limits = {"concurrent": 32, "archive": ArchiveLimits(1000, 4 << 20, 100)}
    async with open_downloads(64, connect_s=5, read_s=5, policy=policy) as client:
        patient, short_timeout = (
            InputFiles(client, store, verifier, OwnUrls(OURS), policy, InputLimits(total_s=total_s, **limits))  # type: ignore[arg-type]
            for total_s in (30, 0.4)
        )
        yield lambda case: (short_timeout if case.short_timeout else patient).bring(
            [case.ref], most_bytes=MOST_BYTES, kind=case.of
        )
    verifier.close()


async def outcome(bring: Callable[[Case], object], case: Case, turns: asyncio.Semaphore) -> tuple[Case, object]:
    async with turns:
        try:
            return case, await bring(case)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - judged by its class
            return case, error


def is_refused(case: Case, what: object) -> bool:
    """Whether the error has one of the expected kinds (None: a passing error), and no secret in its message."""
    if not isinstance(what, ExternalServiceError) or SECRET in what.message or not what.message.startswith("files.0: "):
        return False
    return (what.kind if isinstance(what, RequestRefusedError) else None) in case.kinds


async def test_hundreds_of_hostile_urls_are_refused_and_no_byte_is_sent_to_a_private_address(
    public_server: PublicServer,
    listeners: PrivateListeners,
    bring: Callable[[Case], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases: list[Case] = []

    def add(ref: str, *kinds: str | None, of: Literal["image", "file"] = "image", short_timeout: bool = False) -> None:
        cases.append(Case(ref, frozenset(kinds), of, short_timeout))

    for part in PARTS:
        part(add, public_server, listeners.port)
    resolve_as(monkeypatch, dns())
    connects = watch_connects(monkeypatch)

    turns = asyncio.Semaphore(6)  # a host has six slots; a transfer waits for one for five seconds at most
    seen = await asyncio.gather(*(outcome(bring, case, turns) for case in cases))

    assert len({case.ref for case in cases}) >= 400
    assert [(case.ref[:150], what) for case, what in seen if not is_refused(case, what)] == []
    assert sum(isinstance(what, RequestRefusedError) for _, what in seen) >= 330  # the others are passing errors
    assert (listeners.connections, listeners.bytes) == (0, 0)
    public = {("93.184.216.34", listeners.port)}  # the first address of the changing name
    assert set(connects) == {("127.0.0.1", public_server.port)} | public


async def test_a_public_picture_is_fetched_through_five_redirects(
    public_server: PublicServer, bring: Callable[[Case], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, dns())
    url = public_server.answer("good.png", picture())
    for _ in range(5):
        url = public_server.redirect(url)

    _, what = await outcome(bring, Case(url, frozenset()), asyncio.Semaphore())

    assert [(each.content_type, each.data) for each in what] == [("image/png", picture())]  # type: ignore[attr-defined]


async def test_the_private_listeners_count_connections(listeners: PrivateListeners) -> None:
    async with open_downloads(2) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://127.0.0.1:{listeners.port}/", timeout=0.2)
    async with asyncio.timeout(60):
        while not listeners.bytes:
            await asyncio.sleep(0.01)
    assert listeners.connections == 1
