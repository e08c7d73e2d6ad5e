"""Brings one file from its URL into a spool, and says by its error whether another try may help.

Nothing here depends on how the client was set up: redirects are followed by hand, so that each address is checked,
and no encoding is asked for.
"""

import asyncio
import base64
import binascii
from urllib.parse import unquote_to_bytes

import httpx

from worker.artefacts.pieces import Found
from worker.artefacts.spool import Spool
from worker.errors import BrokenPieceError, ExternalServiceError, RateLimitError, ServiceUnavailableError

_REDIRECTS = 5
_CHUNK_BYTES = 256 << 10
_HEADERS = {"accept": "*/*", "accept-encoding": "identity"}
_PASSING = frozenset({404, 408, 425})  # 404: a CDN may not have it yet, seconds after the model ended


async def download(client: httpx.AsyncClient, found: Found, spool: Spool, total_s: float) -> None:
    """Bring all of the file within `total_s` seconds.

    Raises `ServiceUnavailableError` or `RateLimitError` when a later try may succeed, `BrokenPieceError` when none
    will.
    """
    if found.url.startswith("data:"):
        return await _inline(found, spool)
    try:
        async with asyncio.timeout(total_s):
            await _follow(client, found, spool)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise BrokenPieceError(f"{found.label}: {error}") from error
    except TimeoutError as error:
        raise ServiceUnavailableError(f"{found.label}: {_shown(found.url)} took more than {total_s:g} s") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ServiceUnavailableError(f"{found.label}: {_shown(found.url)} could not be fetched ({reason})") from error


async def _follow(client: httpx.AsyncClient, found: Found, spool: Spool) -> None:
    url = httpx.URL(found.url)
    for _ in range(_REDIRECTS + 1):
        _check_address(url)
        async with client.stream("GET", url, headers=_HEADERS, follow_redirects=False) as response:
            if not response.has_redirect_location:
                return await _take(response, found, spool)
            url = url.join(response.headers["location"])
    raise BrokenPieceError(f"{found.label}: {_shown(found.url)} redirects more than {_REDIRECTS} times")


def _check_address(url: httpx.URL) -> None:
    if url.scheme not in {"http", "https"} or not url.host:
        raise httpx.UnsupportedProtocol(
            f"the answer's file has the address {_shown(str(url))!r}; allowed: http, https, data"
        )
    if url.userinfo:
        raise httpx.UnsupportedProtocol(f"the address {_shown(str(url))!r} carries a login")


async def _take(response: httpx.Response, found: Found, spool: Spool) -> None:
    if response.status_code != 200:
        raise _refusal(response, found)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BrokenPieceError(f"{found.label}: sent in an encoding that was not asked for")
    promised = response.headers.get("content-length", "")
    if promised.isdecimal():
        spool.expect(int(promised))
    async for chunk in response.aiter_bytes(_CHUNK_BYTES):
        await spool.write(chunk)
    if promised.isdecimal() and spool.bytes != int(promised):
        raise ServiceUnavailableError(f"{found.label}: cut short, {spool.bytes} of {promised} bytes")


def _refusal(response: httpx.Response, found: Found) -> ExternalServiceError:
    status = response.status_code
    message = f"{found.label}: {_shown(found.url)} answered HTTP {status}"
    if status == 429:
        wait = response.headers.get("retry-after", "")
        return RateLimitError(message, status=status, retry_after_s=float(wait) if wait.isdecimal() else None)
    if status >= 500 or status in _PASSING:
        return ServiceUnavailableError(message, status=status)
    return BrokenPieceError(message, status=status)


async def _inline(found: Found, spool: Spool) -> None:
    """A data URI (RFC 2397), as models answer with `sync_mode`."""
    header, comma, data = found.url.partition(",")
    is_base64 = header.endswith(";base64")
    spool.expect(len(data) * 3 // 4 - 2 if is_base64 else 0)
    try:
        content = await asyncio.to_thread(base64.b64decode if is_base64 else unquote_to_bytes, data)
    except (binascii.Error, ValueError) as error:
        raise BrokenPieceError(f"{found.label}: a data URI that does not decode ({error})") from error
    if not comma:
        raise BrokenPieceError(f"{found.label}: a data URI without data")
    await spool.write(content)


def _shown(url: str) -> str:
    """A URL as messages may show it: a query or a login can hold a token."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].partition('#')[0].rpartition('@')[2]}"[:200]
