"""What a store promises: bytes under a key, whole or not at all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """Bytes in the store, measured while they were written."""

    key: str
    bytes: int
    sha256: str


class Store(Protocol):
    """Where finished files live: a folder, S3 or GCS."""

    async def put(self, key: str, chunks: AsyncIterator[bytes], content_type: str, limit_bytes: int) -> Stored:
        """Stream into `key`. Nothing is left behind when the stream breaks or passes the limit (`BrokenPieceError`)."""

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream what is under `key`; `KeyError` when there is nothing."""

    async def delete(self, key: str) -> None:
        """Forget `key`; nothing happens when there is nothing."""

    async def url(self, key: str, seconds: float) -> str:
        """A URL that works without a login for so long."""
