"""Inputs over a transport that answers as told and a store in memory."""

import io
from collections import Counter
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from obstore.store import MemoryStore

from config.settings import GatewaySettings
from tests.unit.files.files import picture
from worker.errors import RequestRefusedError
from worker.files.input_refs import OwnUrls
from worker.files.inputs import InputFiles, InputLimits
from worker.files.media import Media
from worker.files.store import GatewayUrls, ObjectStore
from worker.files.verify import Verifier, VerifyLimits
from worker.net.public import AddressPolicy

SECRET, ROOT, NOW = "a secret of the tests", "http://gateway.example:8080", 1000.0
PNG, JPEG = picture("PNG"), picture("JPEG")
Answering = Callable[[httpx.Request], httpx.Response]


class Bench:
    def __init__(self, answering: Answering) -> None:
        self.asked: Counter[str] = Counter()
        self.store = ObjectStore(MemoryStore(), GatewayUrls(SECRET, ROOT, lambda: NOW))
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._note(answering)))
        self.verifier = Verifier(VerifyLimits(1_000_000))
        own = OwnUrls(GatewaySettings(public_url=ROOT, secret=SECRET, _env_file=None), lambda: NOW)  # type: ignore[call-arg, arg-type]
        self.inputs = InputFiles(self.client, self.store, self.verifier, own, AddressPolicy(), InputLimits(total_s=5))

    def _note(self, answering: Answering) -> Answering:
        def answer(request: httpx.Request) -> httpx.Response:
            self.asked[str(request.url)] += 1
            return answering(request)

        return answer

    async def bring(self, *refs: str, most_bytes: int = 1 << 20, **more: object) -> tuple[Media, ...]:
        return await self.inputs.bring(refs, most_bytes=most_bytes, **more)  # type: ignore[arg-type]

    async def refusal(self, *refs: str, **more: object) -> RequestRefusedError:
        with pytest.raises(RequestRefusedError) as caught:
            await self.bring(*refs, **more)  # type: ignore[arg-type]
        return caught.value

    async def keep(self, key: str, data: bytes) -> str:
        await self.store.put(key, io.BytesIO(data), "")
        return await self.store.url(key, 60)


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(answering: Answering | bytes = PNG) -> Bench:
        given = answering if callable(answering) else lambda _: httpx.Response(200, content=answering)
        made.append(Bench(given))
        return made[-1]

    yield make
    for each in made:
        each.verifier.close()
        await each.client.aclose()


Make = Callable[..., Bench]
