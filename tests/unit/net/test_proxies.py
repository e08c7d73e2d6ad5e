"""Every HTTP library that we or our providers' SDKs use follows the environment's proxies, or none does."""

import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import fal_client.client as sdk
import httpx
import httpx2
import obstore
import pytest
import requests
from obstore.store import S3Store

from config.proxies import settle_proxies
from config.settings import GatewaySettings, NetworkSettings, Settings, StoreSettings
from worker.cli.settings import read_settings
from worker.gateway.app import create_app
from worker.net.http import open_downloads, open_transport
from worker.net.public import AddressPolicy
from worker.services import open_services

URL = "http://keys.example.invalid/x"  # resolves nowhere, so only a proxy can be reached
VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Proxy:
    """Counts connections, and closes each."""

    def __init__(self) -> None:
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.asked += 1
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    before = dict(os.environ)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ.pop(name, None)
    os.environ.update(dict.fromkeys(VARIABLES, made.url))
    yield made
    os.environ.clear()
    os.environ.update(before)
    made.close()


async def _ours() -> None:
    async with httpx.AsyncClient(transport=open_transport(1), timeout=3) as client:
        await client.get(URL)


async def _downloads() -> None:
    async with open_downloads(1, connect_s=3, policy=AddressPolicy()) as client:
        await client.get(URL.replace(".invalid", ".com"))


async def _httpx() -> None:
    async with httpx.AsyncClient(timeout=3) as client:
        await client.get(URL)


async def _fal_token() -> None:
    manager = sdk.AsyncCDNTokenManager(sdk.AuthCredentials("Key", "secret"))
    manager._url = URL
    await manager.get_token()


async def _anthropic() -> None:
    async with httpx2.AsyncClient(timeout=3) as client:
        await client.get(URL)


async def _google_auth() -> None:
    requests.get(URL, timeout=3)


async def _aiohttp() -> None:
    async with aiohttp.ClientSession(trust_env=True) as session:
        await session.get(URL)


async def _bucket() -> None:
    store = S3Store(
        "bucket",
        endpoint=URL.removesuffix("/x"),
        client_options={"allow_http": True, "timeout": "3s"},
        access_key_id="k",
        secret_access_key="s",
        retry_config={"max_retries": 0},
    )
    await obstore.head_async(store, "ready")


CLIENTS: list[Callable[[], Awaitable[None]]] = [
    _ours, _downloads, _httpx, _fal_token, _anthropic, _google_auth, _aiohttp, _bucket,
]  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
async def test_without_the_setting_no_client_asks_a_proxy_and_with_it_each_does(
    client: Callable[[], Awaitable[None]], proxy: Proxy
) -> None:
    settle_proxies(trusted=True)
    with pytest.raises(Exception):  # noqa: B017 - each library has its own
        await client()
    assert proxy.asked, "it follows the environment where it is trusted"

    proxy.asked = 0
    settle_proxies(trusted=False)
    with pytest.raises(Exception):  # noqa: B017
        await client()
    assert not proxy.asked


def _settings(tmp_path: Path) -> Settings:
    return Settings(
        store=StoreSettings(store_url=str(tmp_path)),
        gateway=GatewaySettings(secret="a secret of the tests", webhooks="off"),  # type: ignore[arg-type]
        network=NetworkSettings(trust_proxies=False),
    )


@pytest.mark.usefixtures("proxy")
async def test_a_process_that_begins_has_no_proxies(tmp_path: Path) -> None:
    async def worker() -> None:
        async with open_services(_settings(tmp_path)):
            pass

    async def gateway() -> None:
        create_app(_settings(tmp_path))

    async def command_line() -> None:
        read_settings()

    for begin in (worker, gateway, command_line):
        os.environ["HTTPS_PROXY"] = "http://127.0.0.1:1"
        await begin()
        assert not any(os.environ.get(name) for name in VARIABLES)
        assert os.environ["NO_PROXY"] == "*"
