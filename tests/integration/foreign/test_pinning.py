"""The connection goes to the address that was checked, with the name of the URL in Host and TLS."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from config.allowed_addresses import read_allowed
from tests.integration.foreign.world import HOST, PrivateListeners, PublicServer, resolve_as, watch_connects
from worker.net.http import open_downloads
from worker.net.public import AddressPolicy


@pytest.fixture
async def public_server() -> AsyncIterator[PublicServer]:
    async with PublicServer().open() as server:
        yield server


async def test_the_host_header_names_the_host_and_not_the_address(
    public_server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, {HOST: [["127.0.0.1"]]})
    connects = watch_connects(monkeypatch)
    url = public_server.answer("a", b"x")
    async with open_downloads(2, policy=AddressPolicy(read_allowed(f"{HOST}:{public_server.port}"))) as client:
        assert (await client.get(url)).content == b"x"

    assert connects == [("127.0.0.1", public_server.port)]
    assert f"host: {HOST}:{public_server.port}\r\n".encode() in public_server.heads[0].lower()


async def test_tls_uses_the_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    hello: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolve_as(monkeypatch, {HOST: [["127.0.0.1"]]})
    async with open_downloads(2, policy=AddressPolicy(read_allowed(f"{HOST}:{port}"))) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"https://{HOST}:{port}/")
    server.close()

    assert HOST.encode() in hello[0]


async def test_a_name_that_resolves_differently_after_its_check_is_still_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with PrivateListeners().open() as listeners:
        asked = resolve_as(monkeypatch, {"changes.example": [["93.184.216.34", "2606:4700::1111"], ["127.0.0.1"]]})
        connects = watch_connects(monkeypatch)
        url = f"http://changes.example:{listeners.port}/"
        async with open_downloads(2, policy=AddressPolicy()) as client:
            for _ in range(3):
                with pytest.raises(httpx.ConnectError):
                    await client.get(url)
        async with open_downloads(2, policy=AddressPolicy()) as another:  # which has no cached lookup
            with pytest.raises(httpx.UnsupportedProtocol, match="leads to an address that is not public"):
                await another.get(url)

    assert {address for address, _ in connects} == {"93.184.216.34", "2606:4700::1111"}
    assert (listeners.connections, asked) == (0, ["changes.example"] * 2)


async def test_a_socket_is_refused_even_if_its_address_was_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with PrivateListeners().open() as listeners:
        resolve_as(monkeypatch, {"cdn.example": [["127.0.0.1"]]})
        monkeypatch.setattr(AddressPolicy, "check_addresses", lambda *_: None)
        async with open_downloads(2, policy=AddressPolicy()) as client:
            with pytest.raises(httpx.ConnectError, match="not public"):
                await client.get(f"http://cdn.example:{listeners.port}/")

    assert listeners.connections == 0


async def test_an_international_name_is_resolved_in_ascii(
    public_server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_as(monkeypatch, {"xn--mnchen-3ya.example": [["127.0.0.1"]]})
    policy = AddressPolicy(read_allowed(f"xn--mnchen-3ya.example:{public_server.port}"))
    async with open_downloads(2, policy=policy) as client:
        assert (await client.get(f"http://münchen.example:{public_server.port}/none")).status_code == 404

    assert asked == ["xn--mnchen-3ya.example"]
