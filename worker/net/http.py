"""Fast HTTP under httpx: aiohttp carries the bytes, httpx and the SDKs above it notice nothing. Whoever opens, closes.

httpx's own transport collapses at a hundred requests at once. The two ready-made fast ones report a connection that was
dropped after the request was taken as a failure to connect; whoever repeats a POST on that pays twice. Here an error
says "nothing was sent" (`ConnectError`, `ConnectTimeout`) only where aiohttp proves it: docs/decisions/0001.
The environment's proxies are not used.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
from yarl import URL

from worker.net.public import AddressPolicy, ForeignAddressError, PolicyResolver

_KEEPALIVE_S = 15.0  # well below the minute after which servers hang up: a POST into a dying connection ends unknown
_OURS_TO_ADD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # aiohttp would add its own
_LARGE_BYTES = 1 << 20
_BELOW = (aiohttp.ClientError, OSError)  # OSError includes TimeoutError


def open_transport(limit: int) -> httpx.AsyncBaseTransport:
    """A transport of at most `limit` connections, for the event loop of its first request.

    It follows no redirect, keeps no cookie, decodes nothing. aiohttp itself repeats a GET, PUT or DELETE once when the
    connection drops before the answer; a POST never.
    """
    return _AiohttpTransport(limit)


def open_downloads(
    limit: int, connect_s: float = 10, read_s: float = 60, *, gate: AddressPolicy | None = None
) -> httpx.AsyncClient:
    """A client for files of foreign servers: no cookies, no redirects by itself, a bounded wait for every chunk.

    It connects only where the gate lets it, and raises `httpx.UnsupportedProtocol` for any other URL. Without a gate it
    connects anywhere: for addresses that an operator has set.
    """
    client = httpx.AsyncClient(
        transport=_AiohttpTransport(limit, gate),
        timeout=httpx.Timeout(read_s, connect=connect_s, pool=None),
        headers={"user-agent": "kilnhand"},
        follow_redirects=False,
        trust_env=False,
    )
    client._cookies = NoCookies()
    return client


class NoCookies(httpx.Cookies):
    """Keeps none. A client looks for cookies in every answer, whatever its jar's policy: an eighth of a call's time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave the answer's cookies where they are."""


class _AiohttpTransport(httpx.AsyncBaseTransport):
    def __init__(self, limit: int, gate: AddressPolicy | None = None) -> None:
        self._limit, self._gate = limit, gate
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._session = self._session or _open_session(self._limit, self._gate)
        timeout = request.extensions.get("timeout", {})
        with _as_httpx_errors(request):
            if self._gate:
                self._gate.check(request.url)
            async with asyncio.timeout(_sending_s(timeout)):
                response = await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=_headers(request),
                    data=_body(request),
                    skip_auto_headers=_OURS_TO_ADD,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        connect=timeout.get("pool"), sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
                    ),
                )
        return httpx.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=_Body(response, request),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": (response.reason or "").encode()},
        )

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._response, self._request = response, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors(self._request):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._response.release()  # a body not read to its end closes the connection


def _open_session(limit: int, gate: AddressPolicy | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=_KEEPALIVE_S,
        ssl=httpx.create_ssl_context(),
        resolver=PolicyResolver(gate) if gate else None,
        socket_factory=gate.open_socket if gate else None,
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    )


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """All but the one that aiohttp sets by the body."""
    return [(name, value) for name, value in request.headers.multi_items() if name != "transfer-encoding"]


def _body(request: httpx.Request) -> Any:
    """As aiohttp wants it: it warns of large bytes, which it would write in one piece."""
    try:
        content = request.content
    except httpx.RequestNotRead:
        return request.stream
    return io.BytesIO(content) if len(content) > _LARGE_BYTES else content or None


def _sending_s(timeout: dict[str, float | None]) -> float | None:
    """The longest wait for an answer's head: aiohttp has no limit for writing, and `sock_read` begins after it."""
    if timeout.get("write") is None or timeout.get("read") is None:
        return None
    return sum(seconds or 0 for seconds in timeout.values())


@contextmanager
def _as_httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except ForeignAddressError as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error
    except _BELOW as error:
        raise _as_httpx(error)(str(error) or type(error).__name__, request=request) from error


def _as_httpx(error: Exception) -> type[httpx.TransportError]:
    """What is not known to come before the first byte was sent must be a class that says "maybe sent"."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.UnsupportedProtocol
        case TimeoutError():
            return httpx.ReadTimeout
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError
    return httpx.ReadError
