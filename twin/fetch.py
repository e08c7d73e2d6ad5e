"""Reading what a URL points at: our own files and loopback addresses, for every imitation.

Other hosts are not read, because the twin has no internet; what that means is left to the caller.
"""

import asyncio
import ipaddress
from urllib.parse import urlsplit

import httpx

from twin.files import FileStore

MAX_BYTES = 64 * 1024 * 1024
FETCH_SECONDS = 20.0


class Unreachable(ValueError):
    """Nothing could be read there."""


class Fetcher:
    """Reads URLs through one HTTP client, up to one byte above its limit, so that too much can be told."""

    def __init__(self, files: FileStore, http: httpx.AsyncClient, max_bytes: int = MAX_BYTES) -> None:
        self._files, self._http, self.max_bytes = files, http, max_bytes

    async def read(self, url: str) -> bytes | None:
        """Return the bytes; None for a host that is not ours. Raise Unreachable."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise Unreachable(url) from error
        own = await self._files.read(own_path(parts.path), self.max_bytes + 1)
        if own is not None:
            return own
        return await self._get(url) if is_loopback(parts.hostname) else None

    async def _get(self, url: str) -> bytes:
        data = bytearray()
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._http.stream("GET", url) as response:
                response.raise_for_status()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > self.max_bytes:
                        break
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unreachable(url) from error
        return bytes(data)


def own_path(path: str) -> str:
    """Return the path that one of our files would have in the store."""
    return path.lstrip("/").removeprefix("cdn/")


def is_loopback(host: str | None) -> bool:
    """Whether this host is our own machine."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
