"""What a store promises: bytes under a key, whole or not at all."""

from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol


class Store(Protocol):
    """Where finished files live: a folder, S3 or GCS. What is put there was measured and verified before."""

    async def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Keep all of `file` (from its beginning, while it stays open) under `key`; a second time replaces the first.

        Nothing is left behind when it breaks off. `ServiceUnavailableError` when the store cannot take it.
        """

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream what is under `key`; `KeyError` when there is nothing."""

    async def delete(self, key: str) -> None:
        """Forget `key`; nothing happens when there is nothing."""

    async def url(self, key: str, seconds: float) -> str:
        """A URL that works without a login for so long (S3 and GCS: a week at most)."""

    async def ready(self) -> None:
        """Raise an `ExternalServiceError` that says why, when the store cannot be reached."""
