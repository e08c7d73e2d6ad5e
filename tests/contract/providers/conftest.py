"""fal's provider over the real transport, against the twin on a real socket."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import fal_client.client as sdk
import httpx
import pytest
from pydantic import SecretStr

from config.keys.comfy import ComfyAccess
from config.keys.fal import FalKey
from config.settings import FalSettings
from twin.app import create_app
from twin.server import in_thread
from worker.net.http import open_transport
from worker.providers.fal.provider import Fal, open_fal
from worker.providers.fal.streaming import FalStream


class Twin:
    """The twin's control calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, verify=False, trust_env=False)  # a CA bundle takes 30 ms to read

    def script(self, **fault: Any) -> None:
        answer = self.http.post("/_twin/script", json=fault)
        assert answer.status_code == 200, answer.text

    def pace(self, **pace: Any) -> None:
        self.http.post("/_twin/pace", json=pace).raise_for_status()

    @property
    def count(self) -> int:
        return int(self.http.get("/_twin/requests", params={"count": 1}).json()["count"])


@pytest.fixture(scope="module", autouse=True)
def _sdk_as_it_was() -> Iterator[None]:
    """Restores the module constants by which fal-client is pointed at the twin, also by fixtures of a whole module."""
    names = ("RUN_URL_FORMAT", "QUEUE_URL_FORMAT", "REALTIME_URL_FORMAT", "REST_URL", "CDN_URL")
    before = {name: getattr(sdk, name) for name in names}
    yield
    for name, value in before.items():
        setattr(sdk, name, value)


@pytest.fixture(scope="session")
def _twin() -> Iterator[Twin]:
    with in_thread(create_app()) as server:
        twin = Twin(server.url)
        yield twin
        twin.http.close()


@pytest.fixture
def twin(_twin: Twin) -> Twin:
    _twin.http.post("/_twin/reset").raise_for_status()
    _twin.pace(seconds=0.1, queue_seconds=0.05)
    return _twin


async def opened(twin: Twin, key: str = "id:secret", timeout_s: float = 30.0, *, low_priority: bool = False) -> Fal:
    settings = FalSettings(fal_base_url=twin.url, fal_timeout_s=timeout_s, fal_low_priority=low_priority)
    return await open_fal(settings, FalKey("FAL_KEY", SecretStr(key)), open_transport(10))


async def opened_stream(twin: Twin, timeout_s: float = 30.0) -> FalStream:
    """fal's streams: never to Hugging Face."""
    settings = FalSettings(fal_base_url=twin.url, fal_stream_s=timeout_s)
    hub = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    return FalStream(await opened(twin), settings, ComfyAccess(), hub)


@pytest.fixture
async def fal(twin: Twin) -> AsyncIterator[Fal]:
    provider = await opened(twin)
    yield provider
    await provider.aclose()
