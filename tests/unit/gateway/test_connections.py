"""The gateway's connections: deadlines, and room for everybody. One address may have half of them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from worker.gateway.connections import ConnectionLimits, limited_protocol, refusing_ambiguous

OK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Port = Callable[..., int]


class Gate:
    """An application whose answers wait at `/wait` until the test opens it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.app = refusing_ambiguous(
            Starlette(
                routes=[
                    Route("/", self._ok),
                    Route("/body", self._body, methods=["POST"]),
                    Route("/wait", self._wait),
                    Route("/large", self._large),
                ]
            )
        )

    async def _ok(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def _body(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    async def _wait(self, _request: Request) -> PlainTextResponse:
        await asyncio.to_thread(self.opened.wait, 10)
        return PlainTextResponse("at last")

    async def _large(self, _request: Request) -> StreamingResponse:
        async def chunks() -> Any:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)

        return StreamingResponse(chunks())


@contextmanager
def _serving(gate: Gate, limits: ConnectionLimits, keep_alive_s: int = 5) -> Iterator[int]:
    options: dict[str, Any] = {"http": limited_protocol(limits), "ws": "none", "timeout_keep_alive": keep_alive_s}
    server = uvicorn.Server(uvicorn.Config(gate.app, port=0, log_config=None, lifespan="off", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    gate.opened.set()
    server.should_exit = server.force_exit = True
    thread.join(60)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def serve(gate: Gate) -> Iterator[Port]:
    stack: list[Any] = []

    def begin(**limits: Any) -> int:
        serving = _serving(gate, ConnectionLimits(**limits))
        stack.append(serving)
        return serving.__enter__()

    yield begin
    for serving in stack:
        serving.__exit__(None, None, None)


_writers: list[asyncio.StreamWriter] = []


@pytest.fixture(autouse=True)
async def _clients() -> AsyncIterator[None]:
    yield
    for writer in _writers:
        writer.transport.abort()
    await asyncio.sleep(0)
    _writers.clear()


async def _connect(
    port: int, data: bytes = b"", at: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(at, 0))
    _writers.append(writer)
    writer.write(data)
    return reader, writer


async def _closed_after(reader: asyncio.StreamReader, most_s: float = 5) -> float:
    began = time.monotonic()
    async with asyncio.timeout(most_s):
        with suppress(ConnectionError):
            await reader.read()
    return time.monotonic() - began


async def _status(port: int, data: bytes = OK) -> bytes:
    reader, _ = await _connect(port, data)
    async with asyncio.timeout(60):
        line = await reader.readline()
    return line[9:12]


@pytest.mark.parametrize("data", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_whole_closes_the_connection(serve: Port, data: bytes) -> None:
    port = serve(head_s=0.5)
    reader, _ = await _connect(port, data)
    assert 0.2 < await _closed_after(reader) < 3


async def _drip(writer: asyncio.StreamWriter, data: bytes, every_s: float = 0.1) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(every_s)


async def test_a_head_that_drips_is_cut_off(serve: Port) -> None:
    port = serve(head_s=0.5)
    reader, writer = await _connect(port)
    drip = asyncio.create_task(_drip(writer, b"GET /" + b"x" * 100))
    assert await _closed_after(reader) < 3
    drip.cancel()


async def test_a_body_that_drips_is_cut_off_also_after_its_answer(serve: Port) -> None:
    port = serve(head_s=0.5, body_s=0.5)
    for path in (b"/body", b"/"):  # "/" answers without reading it
        reader, writer = await _connect(port, b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n")
        drip = asyncio.create_task(_drip(writer, b"x" * 100))
        assert await _closed_after(reader) < 3
        drip.cancel()


async def test_a_client_that_does_not_read_is_cut_off(serve: Port) -> None:
    port = serve(unread_s=0.5)
    reader, _ = await _connect(port, OK.replace(b"/ ", b"/large "))
    await asyncio.sleep(1.5)
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while await reader.read(1 << 20):  # the answer has no end
                pass


async def test_idle_connections_make_room_for_a_new_one(serve: Port) -> None:
    port = serve(total=10)
    idle = [await _connect(port) for _ in range(30)]
    assert await _status(port) == b"200"
    assert len(idle) == 30


async def test_an_address_with_busy_connections_leaves_half_to_the_others(serve: Port, gate: Gate) -> None:
    port = serve(total=10)
    wait = OK.replace(b"/ ", b"/wait ")
    busy = [await _connect(port, wait) for _ in range(5)]
    await asyncio.sleep(0.3)
    reader, _ = await _connect(port, wait)  # the sixth of this address
    assert await _closed_after(reader) < 3
    other, _ = await _connect(port, OK, at="127.0.0.2")
    assert (await other.readline())[9:12] == b"200"
    gate.opened.set()
    for reader, _ in busy:
        assert (await reader.readline())[9:12] == b"200", "no busy connection was closed"


async def test_keep_alive_ends_after_so_many_requests(serve: Port) -> None:
    port = serve(requests=3)
    reader, _ = await _connect(port, OK * 5)
    answers = await reader.read()
    assert answers.count(b"200 OK") == 3
    assert answers.lower().count(b"connection: close") == 1


async def test_an_answer_may_take_longer_than_a_head(serve: Port, gate: Gate) -> None:
    port = serve(head_s=0.3, body_s=0.3)
    reader, _ = await _connect(port, OK.replace(b"/ ", b"/wait "))
    await asyncio.sleep(0.8)
    gate.opened.set()
    assert (await reader.readline())[9:12] == b"200"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 0\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
    ],
)
async def test_two_lengths_are_refused(serve: Port, lines: bytes) -> None:
    port = serve()
    head = b"POST /body HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"
    reader, _ = await _connect(port, head + b"0\r\n\r\n" + OK)
    async with asyncio.timeout(60):
        answers = await reader.read()
    assert answers[9:12] == b"400"
    assert b"200 OK" not in answers, "what follows is no second request"


async def test_a_usual_request_is_served(serve: Port) -> None:
    port = serve()
    chunked = b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert [await _status(port), await _status(port, chunked)] == [b"200", b"200"]
