"""A server that plays the public internet, listeners that play private addresses, and a fake DNS."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote

import pytest

from worker.net import public

SECRET = "s3cr3t"  # in queries, logins, bodies and headers; must not be in any message
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
HOST = "cdn.example"  # the name that is allowed, so it plays a public host


class PrivateListeners:
    """Listeners on loopback, IPv4 and IPv6, on one port. They count connections; there should be none."""

    def __init__(self) -> None:
        self.connections = self.bytes = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PrivateListeners"]:
        first = await asyncio.start_server(self._count, "127.0.0.1", 0)
        self.port = first.sockets[0].getsockname()[1]
        servers = [first]
        with contextlib.suppress(OSError):  # a machine without IPv6
            servers.append(await asyncio.start_server(self._count, "::1", self.port))
        yield self
        for server in servers:
            server.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while chunk := await reader.read(65536):
            self.bytes += len(chunk)
        writer.close()


class PublicServer:
    """A server that answers `GET /<name>` with `pages[name]`: bytes, or a coroutine that writes the answer."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | Callable[[asyncio.StreamWriter], object]] = {}
        self.heads: list[bytes] = []
        self._answering: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PublicServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.port}/{name}?token={SECRET}"

    def redirect(self, target: str, status: int = 302) -> str:
        """The URL of a redirect to `target`."""
        name = f"to-{len(self.pages)}"
        self.pages[name] = (
            f"HTTP/1.1 {status} {SECRET}\r\nLocation: ".encode()
            + target.encode()
            + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        return self.url(name)

    def answer(self, name: str, body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> str:
        """The URL of a page with this body."""
        sized = [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
        self.pages[name] = (
            "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *sized, *headers, "", ""]).encode() + body
        )
        return self.url(name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._answering.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        page = self.pages.get(unquote(head.split(b" ")[1].decode().lstrip("/").partition("?")[0]), NOT_FOUND)
        if isinstance(page, bytes):
            writer.write(page)
            await writer.drain()
        else:
            await page(writer)  # type: ignore[misc]


def resolve_as(patch: pytest.MonkeyPatch, table: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    """Makes names resolve as in the table: an entry per lookup; the last one repeats. Returns the names looked up."""
    asked: list[str] = []

    async def resolve(self: object, host: str, port: int = 0, family: object = None) -> list[dict[str, object]]:
        asked.append(host)
        if host not in table:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        lookups = table[host]
        addresses = lookups[min(asked.count(host), len(lookups)) - 1]
        return [
            {"hostname": host, "host": each, "port": port, "proto": 6, "flags": 0,
             "family": socket.AF_INET6 if ":" in each else socket.AF_INET}
            for each in addresses
        ]  # fmt: skip

    patch.setattr(public.ThreadedResolver, "resolve", resolve)
    return asked


def watch_connects(patch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Returns a list of every address that an event loop connects to. Connections beyond loopback are refused.

    A blocking socket is not counted: when the results of an earlier test are collected, Celery unsubscribes and connects again.
    """
    asked: list[tuple[str, int]] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        if self.gettimeout() == 0:
            asked.append(address[:2])
        if address[0] not in {"127.0.0.1", "::1"}:
            raise ConnectionRefusedError(111, "refused by the test")
        real(self, address)

    patch.setattr(socket.socket, "connect", connect)
    return asked
