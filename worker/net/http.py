"""An httpx transport over aiohttp, for the SDKs and for downloads. The caller closes what it opens.

httpx's own transport collapses at a hundred concurrent requests. The two ready-made fast transports report a connection
that was dropped after the request was sent as a failure to connect; a caller that repeats a POST after that pays twice.
Here `ConnectError` and `ConnectTimeout`, which mean "nothing was sent", are raised only where aiohttp proves it:
docs/decisions/0001. Proxies of the environment are used only where a setting trusts them (`config.proxies`).
"""

import asyncio
import io
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from yarl import URL

from config.proxies import proxy_for
from worker.net.public import AddressPolicy, ForeignAddressError, PolicyResolver

_KEEPALIVE_S = 15.0  # servers close idle connections after a minute; a POST into a closing one is lost
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # aiohttp would add its own
_LARGE_BYTES = 1 << 20
_UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AIOHTTP_ERRORS = (aiohttp.ClientError, OSError)  # OSError includes TimeoutError


def open_transport(limit: int) -> httpx.AsyncBaseTransport:
    """A transport of at most `limit` connections, bound to the event loop of its first request.

    It follows no redirects, keeps no cookies and decodes no bodies. aiohttp itself repeats a GET, PUT or DELETE once
    when the connection drops before the answer, but never a POST.
    """
    return _AiohttpTransport(limit)


def open_downloads(
    limit: int, connect_s: float = 10, read_s: float = 60, *, policy: AddressPolicy | None = None
) -> httpx.AsyncClient:
    """A client for files of foreign servers: no cookies, no redirects, a timeout for every chunk.

    It raises `httpx.UnsupportedProtocol` for a URL that the policy refuses. Without a policy it connects anywhere: for
    addresses that an operator has set.
    """
    client = httpx.AsyncClient(
        transport=_AiohttpTransport(limit, policy),
        timeout=httpx.Timeout(read_s, connect=connect_s, pool=None),
        headers={"user-agent": "kilnhand"},
        follow_redirects=False,
        trust_env=False,
    )
    client._cookies = NoCookies()
    return client


class NoCookies(httpx.Cookies):
    """A jar that stays empty. httpx parses the cookies of every answer, which took an eighth of a call's time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Do nothing."""


class _AiohttpTransport(httpx.AsyncBaseTransport):
    def __init__(self, limit: int, policy: AddressPolicy | None = None) -> None:
        self._limit, self._policy = limit, policy
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether a proxy is used
        self._sockets = WeakSet[socket.socket]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(str(request.url))
        timeout = request.extensions.get("timeout", {})
        url = _sendable_url(request)
        with _as_httpx_errors(request):
            if self._policy:
                self._policy.check(request.url)
            async with asyncio.timeout(_send_timeout_s(timeout)):
                response = await self._session(bool(proxy)).request(
                    request.method,
                    url,
                    headers=_headers(request),
                    data=_body(request),
                    skip_auto_headers=_NOT_ADDED,
                    allow_redirects=False,
                    proxy=proxy,
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

    def _session(self, has_proxy: bool) -> aiohttp.ClientSession:
        """The session. With a proxy, the proxy resolves names, so only the URL itself is checked here."""
        if has_proxy not in self._sessions:
            policy = None if has_proxy else self._policy
            self._sessions[has_proxy] = _open_session(self._limit, policy, partial(self._open_socket, policy))
        return self._sessions[has_proxy]

    def _open_socket(self, policy: AddressPolicy | None, info: Any) -> socket.socket:
        opened = policy.open_socket(info) if policy else socket.socket(*info[:3])
        self._sockets.add(opened)
        return opened

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()
        for each in self._sockets:  # aiohttp leaves one open whose peer does not read what was sent
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._response, self._request = response, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors(self._request):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._response.release()  # closes the connection, unless the body was read to its end


def _open_session(
    limit: int, policy: AddressPolicy | None, open_socket: Callable[[Any], socket.socket]
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=_KEEPALIVE_S,
        ssl=httpx.create_ssl_context(),
        resolver=PolicyResolver(policy) if policy else None,
        socket_factory=open_socket,
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    )


def _sendable_url(request: httpx.Request) -> URL:
    """The URL, once it and every header can be sent. Raises `httpx.LocalProtocolError`: nothing was sent.

    aiohttp raises `ValueError` for them, as other code does after the answer, and quotes the value.
    """
    for name, value in request.headers.raw:
        if _UNSENDABLE.search(value) or not _TOKEN.fullmatch(name):
            shown = name.decode("ascii", "replace")[:50]
            raise httpx.LocalProtocolError(f"the header {shown!r} has a character that no header may have")
    try:
        return URL(str(request.url), encoded=True)
    except ValueError as error:
        raise httpx.LocalProtocolError("the address is no URL") from error


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """All headers except the one that aiohttp derives from the body."""
    return [(name, value) for name, value in request.headers.multi_items() if name != "transfer-encoding"]


def _body(request: httpx.Request) -> Any:
    """The body in the form that aiohttp writes in pieces: it would write large bytes at once, and warns of that."""
    try:
        content = request.content
    except httpx.RequestNotRead:
        return request.stream
    return io.BytesIO(content) if len(content) > _LARGE_BYTES else content or None


def _send_timeout_s(timeout: dict[str, float | None]) -> float | None:
    """The timeout from the start of the call to the answer's head: aiohttp has none for writing the request."""
    if timeout.get("write") is None or timeout.get("read") is None:
        return None
    return sum(seconds or 0 for seconds in timeout.values())


@contextmanager
def _as_httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except ForeignAddressError as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error
    except _AIOHTTP_ERRORS as error:
        raise _as_httpx(error)(str(error) or type(error).__name__, request=request) from error


def _as_httpx(error: Exception) -> type[httpx.TransportError]:
    """The httpx class of an error. `ConnectError` and `ConnectTimeout` only where no byte was sent for certain."""
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
