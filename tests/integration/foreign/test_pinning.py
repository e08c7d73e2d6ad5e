"""The connection is made to the address that was checked, under the name that was asked for."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from config.allowed_addresses import read_allowed
from tests.integration.foreign.world import HOST, Outside, Traps, resolve_as, watch_connects
from worker.net.http import open_downloads
from worker.net.public import AddressPolicy


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with Outside().open() as server:
        yield server


async def test_the_host_header_names_the_host_and_not_the_address(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, {HOST: [["127.0.0.1"]]})
    connects = watch_connects(monkeypatch)
    url = outside.answer("a", b"x")
    async with open_downloads(2, policy=AddressPolicy(read_allowed(f"{HOST}:{outside.port}"))) as client:
        assert (await client.get(url)).content == b"x"

    assert connects == [("127.0.0.1", outside.port)]
    assert f"host: {HOST}:{outside.port}\r\n".encode() in outside.heads[0].lower()


async def test_tls_is_asked_for_by_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_name_that_changes_after_it_was_checked_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Traps().open() as traps:
        asked = resolve_as(monkeypatch, {"changes.example": [["93.184.216.34", "2606:4700::1111"], ["127.0.0.1"]]})
        connects = watch_connects(monkeypatch)
        url = f"http://changes.example:{traps.port}/"
        async with open_downloads(2, policy=AddressPolicy()) as client:
            for _ in range(3):
                with pytest.raises(httpx.ConnectError):
                    await client.get(url)
        async with open_downloads(2, policy=AddressPolicy()) as another:  # which has to look for itself
            with pytest.raises(httpx.UnsupportedProtocol, match="leads to an address that is not public"):
                await another.get(url)

    assert {address for address, _ in connects} == {"93.184.216.34", "2606:4700::1111"}
    assert (traps.connections, asked) == (0, ["changes.example"] * 2)


async def test_a_socket_is_refused_even_if_an_address_was_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Traps().open() as traps:
        resolve_as(monkeypatch, {"cdn.example": [["127.0.0.1"]]})
        monkeypatch.setattr(AddressPolicy, "check_addresses", lambda *_: None)
        async with open_downloads(2, policy=AddressPolicy()) as client:
            with pytest.raises(httpx.ConnectError, match="not public"):
                await client.get(f"http://cdn.example:{traps.port}/")

    assert traps.connections == 0


async def test_an_international_name_is_asked_for_in_ascii(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve_as(monkeypatch, {"xn--mnchen-3ya.example": [["127.0.0.1"]]})
    policy = AddressPolicy(read_allowed(f"xn--mnchen-3ya.example:{outside.port}"))
    async with open_downloads(2, policy=policy) as client:
        assert (await client.get(f"http://münchen.example:{outside.port}/none")).status_code == 404

    assert asked == ["xn--mnchen-3ya.example"]
