"""What a store promises: bytes under a key, whole or not at all."""

from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol


class Store(Protocol):
    """A folder, S3 or GCS for finished files. Every file was verified before it is put there."""

    async def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Keep all of `file` (from its beginning, while it stays open) under `key`; a second time replaces the first.

        An interrupted put leaves nothing. Raises `ServiceUnavailableError` when the store cannot take it.
        """

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream the file under `key`. Raises `KeyError` when there is none."""

    async def delete(self, key: str) -> None:
        """Remove `key`; no effect when there is none."""

    async def url(self, key: str, seconds: float) -> str:
        """A URL that works without a login for this many seconds (S3 and GCS: a week at most)."""

    async def ready(self) -> None:
        """Raise an `ExternalServiceError` that says why, when the store cannot be reached."""
