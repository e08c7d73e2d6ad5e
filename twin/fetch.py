"""Reads the bytes behind a URL, for all imitations: the twin's own files and loopback addresses.

Other hosts are not read, because the twin has no internet access; the caller decides what that means.
"""

import asyncio
import ipaddress
from urllib.parse import urlsplit

import httpx

from twin.file_store import FileStore

MAX_BYTES = 64 * 1024 * 1024
FETCH_SECONDS = 20.0


class Unreachable(ValueError):
    """The URL could not be read."""


class Fetcher:
    """Reads URLs through one HTTP client. Reads one byte more than the limit, so that the caller sees an excess."""

    def __init__(self, files: FileStore, http: httpx.AsyncClient, max_bytes: int = MAX_BYTES) -> None:
        self._files, self._http, self.max_bytes = files, http, max_bytes

    async def read(self, url: str) -> bytes | None:
        """Return the bytes; None for a foreign host. Raise Unreachable."""
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
    """Return the path in the file store that belongs to the path of a URL."""
    return path.lstrip("/").removeprefix("cdn/")


def is_loopback(host: str | None) -> bool:
    """Whether this host is the twin's own machine."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
