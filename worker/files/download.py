"""Downloads one file into a spool. The class of its error says whether another try may help.

Redirects are followed here and not by the client, so that each address is checked; no content encoding is requested.
`worker.net.public` says which addresses are allowed, `worker.net.pace` how slow a server may be. No message quotes a
query, a login, or anything that a server sent.
"""

import asyncio

import httpx

from worker.errors import BrokenPieceError, ExternalServiceError, RateLimitError, ServiceUnavailableError
from worker.files.data_uri import inline_bytes, least_bytes
from worker.files.pieces import FoundFile
from worker.files.spool import Spool
from worker.net.encoding import coding_of
from worker.net.pace import PACE, Pace, TooSlowError, least_throughput
from worker.net.public import PrivateAddressError

_REDIRECTS = 5
_CHUNK_BYTES = 256 << 10
_LONGEST_URL = 4096
_HEADERS = {"accept": "*/*", "accept-encoding": "identity"}
_PASSING = frozenset({404, 408, 425})  # 404: a CDN may not have it yet, seconds after the model ended
_SAFE_WORDS = (httpx.ConnectError, httpx.ConnectTimeout)  # the text of others may quote a URL, or what a server sent


async def download(
    client: httpx.AsyncClient, found: FoundFile, spool: Spool, total_s: float, pace: Pace = PACE
) -> None:
    """Download the whole file within `total_s` seconds, at no less than this pace.

    A server that is slower leads to a `ServiceUnavailableError` of kind `too_slow`.
    Raises `ServiceUnavailableError` or `RateLimitError` when a later try may succeed, `BrokenPieceError` when none
    will; its `kind` is `inside`, `address`, `redirects`, `status`, `encoding` or `too_large`.
    """
    if found.url[:5].lower() == "data:":
        return await _inline(found, spool)
    try:
        async with asyncio.timeout(total_s):
            await _follow(client, found, spool, pace)
    except httpx.UnsupportedProtocol as error:
        kind = "inside" if isinstance(error.__cause__, PrivateAddressError) else "address"
        raise BrokenPieceError(f"{found.label}: {error}", kind=kind) from error
    except (httpx.InvalidURL, UnicodeError) as error:  # the client parses redirects, too
        raise BrokenPieceError(f"{found.label}: {_shown(found.url)} leads to no URL", kind="address") from error
    except TimeoutError as error:
        why = str(error) if isinstance(error, TooSlowError) else f"took more than {total_s:g} s"
        message = f"{found.label}: {_shown(found.url)}: {why}"
        raise ServiceUnavailableError(message, kind="too_slow") from error
    except httpx.HTTPError as error:
        reason = (str(error) if isinstance(error, _SAFE_WORDS) else "") or type(error).__name__
        raise ServiceUnavailableError(f"{found.label}: {_shown(found.url)} could not be fetched ({reason})") from error


async def _follow(client: httpx.AsyncClient, found: FoundFile, spool: Spool, pace: Pace) -> None:
    url = _checked(found.url)
    for _ in range(_REDIRECTS + 1):
        async with client.stream("GET", url, headers=_HEADERS, follow_redirects=False) as response:
            if not response.has_redirect_location:
                return await _take(response, found, spool, pace)
            url = _checked(response.headers["location"], url)
    message = f"{found.label}: {_shown(found.url)} redirects more than {_REDIRECTS} times"
    raise BrokenPieceError(message, kind="redirects")


def _checked(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """The URL, if it is one that every client reads alike. Raises `httpx.UnsupportedProtocol`."""
    try:
        if len(text) > _LONGEST_URL or not text.isprintable() or "\\" in text:
            raise ValueError("longer than may be, or with characters that no URL has")
        url = base.join(text) if base else httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:  # idna raises ValueError
        raise httpx.UnsupportedProtocol(f"{_shown(text)!r} is no URL") from error
    if url.scheme not in {"http", "https"} or not url.raw_host:
        raise httpx.UnsupportedProtocol(f"the file has the address {_shown(str(url))!r}; allowed: http, https, data")
    if url.userinfo:
        raise httpx.UnsupportedProtocol(f"the address {_shown(str(url))!r} carries a login")
    return url


async def _take(response: httpx.Response, found: FoundFile, spool: Spool, pace: Pace) -> None:
    if response.status_code != 200:
        raise _refusal(response, found)
    if coding_of(response.headers.get("content-encoding")):
        raise BrokenPieceError(f"{found.label}: sent in an encoding that was not asked for", kind="encoding")
    promised = _length(response)
    spool.expect(promised or 0)
    pending = bytearray()
    async with asyncio.timeout(None if promised is None else pace.total_s(promised)), least_throughput(pace) as count:
        async for chunk in response.aiter_bytes():  # as they come: larger chunks would hide a slow server
            count(len(chunk))
            pending += chunk
            if len(pending) >= _CHUNK_BYTES:
                await spool.write(bytes(pending))
                pending.clear()
        await spool.write(bytes(pending))
    if promised is not None and spool.bytes != promised:
        raise ServiceUnavailableError(f"{found.label}: cut short, {spool.bytes} of {promised} bytes")


def _length(response: httpx.Response) -> int | None:
    announced = response.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() and len(announced) < 20 else None


def _refusal(response: httpx.Response, found: FoundFile) -> ExternalServiceError:
    status = response.status_code
    message = f"{found.label}: {_shown(found.url)} answered HTTP {status}"
    if status == 429:
        wait = response.headers.get("retry-after", "")
        return RateLimitError(message, status=status, retry_after_s=float(wait) if wait.isdecimal() else None)
    if status >= 500 or status in _PASSING:
        return ServiceUnavailableError(message, status=status)
    return BrokenPieceError(message, status=status, kind="status")


async def _inline(found: FoundFile, spool: Spool) -> None:
    """A data URI (RFC 2397), as models answer with `sync_mode`."""
    spool.expect(least_bytes(found.url))
    try:
        content = await asyncio.to_thread(inline_bytes, found.url)
    except ValueError as error:
        raise BrokenPieceError(f"{found.label}: {error}", kind="address") from error
    await spool.write(content)


def _shown(url: str) -> str:
    """A URL as messages may show it: a query or a login can hold a token."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in url[:_LONGEST_URL])
    scheme, colon, rest = plain.partition("?")[0].partition("#")[0].partition(":")
    return f"{scheme}{colon}{'//' if rest.startswith('//') else ''}{rest.lstrip('/').rpartition('@')[2]}"[:200]
