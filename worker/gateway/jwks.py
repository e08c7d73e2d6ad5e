"""fal's public keys: fetched when needed, cached for a day.

A failed signature fetches them again, at most once a minute.
"""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable
from math import inf
from typing import Any

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.settings import FalSettings

log = structlog.get_logger(__name__)

Keys = tuple[Ed25519PublicKey, ...]

KEEP_S = 24 * 3600.0
REFETCH_S = 60.0  # forged signatures make us ask fal this often at most
RETRY_S = 5.0  # after a failed fetch
_FETCH_S = 5.0
_MAX_BYTES = 64 << 10
_MAX_KEYS = 16
_FAL_URL = "https://rest.fal.ai/.well-known/jwks.json"


class JwksUnavailableError(Exception):
    """The cached keys are too old, and new ones cannot be fetched now."""


def jwks_url(fal: FalSettings) -> str:
    """The URL of the keys: fal's, or the twin's."""
    return f"{fal.fal_base_url}/rest/.well-known/jwks.json" if fal.fal_base_url else _FAL_URL


class Jwks:
    """The keys of one URL. `monotonic` is a clock in seconds; the caller closes the client."""

    def __init__(self, url: str, client: httpx.AsyncClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url, self._client, self._monotonic = url, client, monotonic
        self._keys: Keys = ()
        self._fetched_at, self._next_at = -inf, -inf
        self._lock = asyncio.Lock()

    async def keys(self) -> Keys:
        """The keys, at most a day old. Raises `JwksUnavailableError`."""
        if not self._are_fresh():
            await self._refetch()
        if not self._are_fresh():
            raise JwksUnavailableError
        return self._keys

    async def refetched(self) -> Keys:
        """The keys fetched again, or the cached ones if the last fetch was a moment ago or this one fails."""
        await self._refetch()
        return self._keys

    def _are_fresh(self) -> bool:
        return self._monotonic() - self._fetched_at < KEEP_S

    async def _refetch(self) -> None:
        async with self._lock:  # a caller that waited here finds that the keys were just fetched
            if self._monotonic() < self._next_at:
                return
            try:
                self._keys = await self._fetch()
            except (httpx.HTTPError, TimeoutError, ValueError) as error:
                self._next_at = self._monotonic() + RETRY_S
                log.warning("jwks_failed", error=str(error) or type(error).__name__)
                return
            self._fetched_at = self._monotonic()
            self._next_at = self._fetched_at + REFETCH_S

    async def _fetch(self) -> Keys:
        """Fetch the published keys. Raises `httpx.HTTPError`, `TimeoutError`, or `ValueError` for anything but keys."""
        plain = {"accept-encoding": "identity"}  # compressed data could grow beyond the limit
        async with asyncio.timeout(_FETCH_S), self._client.stream("GET", self._url, headers=plain) as response:
            if response.status_code != 200:
                raise ValueError(f"HTTP {response.status_code}")
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"more than {_MAX_BYTES} bytes")
        return read_keys(body)


def read_keys(body: bytes) -> Keys:
    """The ED25519 keys of a JWKS document; other keys are skipped. Raises `ValueError` if there is none."""
    try:
        found = json.loads(body)["keys"]
        keys = [key for each in found[:_MAX_KEYS] if (key := _key(each))]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a set of keys") from error
    if not keys:
        raise ValueError("no ED25519 key in it")
    return tuple(keys)


def _key(found: Any) -> Ed25519PublicKey | None:
    if not isinstance(found, dict) or (found.get("kty"), found.get("crv")) != ("OKP", "Ed25519"):
        return None
    try:
        x = found["x"].rstrip("=").replace("+", "-").replace("/", "_")
        raw = base64.b64decode(x + "=" * (-len(x) % 4), altchars=b"-_", validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (KeyError, AttributeError, binascii.Error, ValueError):
        return None
