"""Which errors the transport raises: "nothing was sent" or "maybe sent". A wrong one means a job paid twice."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable

import httpx
import pytest

from worker.net.http import _AiohttpTransport, open_downloads, open_transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
PATIENT = httpx.Timeout(60)
BRIEF = httpx.Timeout(60, read=0.3)


class Wire:
    """A server that counts the requests it has read, and then behaves as their path says."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.heads: list[bytes] = []
        self.connections = 0
        self.quiet, self.hung_up = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.quiet.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.hung_up.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path = head.decode().split(" ")[:2]
        if path != "/deaf":
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
            await reader.readexactly(int(fields.get("content-length", 0)))
        self.seen[f"{method} {path}"] += 1
        self.heads.append(head)
        return await getattr(self, "_" + path[1:].partition("?")[0])(writer)

    async def _ok(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK)
        return True

    async def _ok_and_hang_up(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK)
        return False

    async def _drop(self, writer: asyncio.StreamWriter) -> bool:
        return False

    async def _reset(self, writer: asyncio.StreamWriter) -> bool:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    async def _half_a_head(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nConte")
        return False

    async def _garbage(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"\x00\x01\x02\r\n\r\n")
        return False

    async def _cut_short(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
        return False

    async def _cut_chunk(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123")
        return False

    async def _silent(self, writer: asyncio.StreamWriter) -> bool:
        await self.quiet.wait()
        return False

    _deaf = _silent

    async def _silent_body(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
        return await self._silent(writer)

    async def _moved(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
        return True

    async def _twice(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Two: a\r\nX-Two: b\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nraw")
        return True


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=open_transport(10), timeout=PATIENT) as client:
        yield client


async def failure(asked: Awaitable[httpx.Response]) -> httpx.TransportError:
    with pytest.raises(httpx.TransportError) as caught:
        await asked
    return caught.value


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("half_a_head", httpx.RemoteProtocolError),
        ("garbage", httpx.RemoteProtocolError),
        ("cut_short", httpx.RemoteProtocolError),
        ("cut_chunk", httpx.RemoteProtocolError),
        ("silent", httpx.ReadTimeout),
        ("silent_body", httpx.ReadTimeout),
    ],
)
@pytest.mark.parametrize("reused", [False, True])
async def test_a_post_that_was_read_is_sent_once_and_never_reported_as_unsent(
    wire: Wire, client: httpx.AsyncClient, fault: str, error: type[Exception], reused: bool
) -> None:
    if reused:
        await client.get(f"{wire.url}/ok")
    timeout = BRIEF if error is httpx.ReadTimeout else PATIENT
    raised = await failure(client.post(f"{wire.url}/{fault}", json={}, timeout=timeout))
    assert type(raised) is error
    assert not isinstance(raised, NOTHING_SENT)
    assert wire.seen[f"POST /{fault}"] == 1
    assert wire.connections == 1


async def test_a_body_that_the_server_does_not_read_ends_in_a_timeout(wire: Wire, client: httpx.AsyncClient) -> None:
    raised = await failure(client.post(f"{wire.url}/deaf", content=b"x" * 50_000_000, timeout=httpx.Timeout(0.3)))
    assert type(raised) is httpx.ReadTimeout


async def test_a_closed_transport_leaves_no_connection_open_though_its_peer_does_not_read(wire: Wire) -> None:
    async with httpx.AsyncClient(transport=open_transport(10), timeout=httpx.Timeout(0.3)) as client:
        await failure(client.post(f"{wire.url}/deaf", content=b"x" * 50_000_000))
        transport = client._transport
        assert isinstance(transport, _AiohttpTransport)
        opened = list(transport._sockets)
    async with asyncio.timeout(30):
        while any(each.fileno() != -1 for each in opened):
            await asyncio.sleep(0.01)
    assert opened


async def test_a_refused_connection_is_reported_as_unsent(client: httpx.AsyncClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        raised = await failure(client.post(f"http://127.0.0.1:{taken.getsockname()[1]}/", json={}))
    assert type(raised) is httpx.ConnectError


async def test_an_unknown_host_is_reported_as_unsent(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # patched because the tests have no network; this is the smallest part to patch
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    assert type(await failure(client.post("http://nowhere.invalid/", json={}))) is httpx.ConnectError


async def test_a_connection_timeout_is_reported_as_unsent(client: httpx.AsyncClient) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        patient = httpx.Timeout(30, connect=0.2)  # on a busy machine two equal timeouts end at the same moment
        raised = await failure(client.post(f"http://127.0.0.1:{full.getsockname()[1]}/", json={}, timeout=patient))
    assert type(raised) is httpx.ConnectTimeout


async def test_a_server_without_tls_is_reported_as_unsent(client: httpx.AsyncClient) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    raised = await failure(client.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", json={}))
    server.close()
    assert type(raised) is httpx.ConnectError


async def test_a_timeout_for_a_free_connection_is_reported_as_unsent(wire: Wire) -> None:
    async with httpx.AsyncClient(transport=open_transport(1), timeout=httpx.Timeout(60, pool=0.1)) as client:
        first = asyncio.create_task(client.post(f"{wire.url}/silent"))
        while not wire.seen:
            await asyncio.sleep(0.001)
        raised = await failure(client.post(f"{wire.url}/ok"))
        wire.quiet.set()
        await failure(first)
    assert isinstance(raised, NOTHING_SENT)
    assert wire.seen["POST /ok"] == 0


async def test_a_post_after_the_server_hung_up_goes_over_a_new_connection(
    wire: Wire, client: httpx.AsyncClient
) -> None:
    await client.get(f"{wire.url}/ok_and_hang_up")
    await wire.hung_up.wait()
    for _ in range(10):  # gives the client time to notice it
        await asyncio.sleep(0)
    assert (await client.post(f"{wire.url}/ok", json={})).status_code == 200
    assert (wire.connections, wire.seen["POST /ok"]) == (2, 1)


async def test_no_more_connections_than_the_limit_are_opened(wire: Wire) -> None:
    async with httpx.AsyncClient(transport=open_transport(3), timeout=PATIENT) as client:
        answers = await asyncio.gather(*(client.get(f"{wire.url}/ok") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert wire.connections == 3


async def test_redirects_cookies_and_encodings_are_left_to_the_caller(wire: Wire, client: httpx.AsyncClient) -> None:
    by_name = wire.url.replace("127.0.0.1", "localhost")  # aiohttp's own jar ignores cookies of IP addresses
    assert (await client.get(f"{by_name}/moved")).status_code == 302
    client.cookies.clear()
    async with client.stream("GET", f"{by_name}/twice") as answer:
        assert [chunk async for chunk in answer.aiter_raw()] == [b"raw"]
    assert answer.headers.get_list("x-two") == ["a", "b"]
    assert answer.reason_phrase == "OK"
    assert b"cookie" not in wire.heads[-1].lower()


async def test_the_request_is_sent_as_httpx_built_it(wire: Wire, client: httpx.AsyncClient) -> None:
    await client.post(f"{wire.url}/ok?a=%2F%20b&c=%C3%A4", headers=[("x-one", "1"), ("x-one", "2")], json={"a": 1})
    head = wire.heads[-1].decode().lower()
    assert head.startswith("post /ok?a=%2f%20b&c=%c3%a4 http/1.1")
    assert head.count("x-one: ") == 2
    assert head.count("user-agent: ") == head.count("content-type: ") == head.count("accept: ") == 1


async def test_a_streamed_body_arrives_complete(wire: Wire, client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100_000

    answer = await client.post(f"{wire.url}/ok", content=parts(), headers={"content-length": "1000000"})
    assert answer.status_code == 200


async def test_the_client_works_after_a_cancelled_request(wire: Wire, client: httpx.AsyncClient) -> None:
    given_up = asyncio.create_task(client.post(f"{wire.url}/silent"))
    while not wire.seen:
        await asyncio.sleep(0.001)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (await client.post(f"{wire.url}/ok")).status_code == 200


async def test_a_download_keeps_no_cookies_and_times_out_at_a_silent_body(wire: Wire) -> None:
    async with open_downloads(4, read_s=0.2) as client:
        await client.get(f"{wire.url}/moved")
        assert len(client.cookies) == 0
        assert type(await failure(client.get(f"{wire.url}/silent_body"))) is httpx.ReadTimeout
