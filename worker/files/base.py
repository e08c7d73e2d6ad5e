"""What a store promises: bytes under a key, whole or not at all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class StoredEntry:
    """A file in a list of the store. `modified_at`: seconds since the epoch, by the store's clock."""

    key: str
    bytes: int
    modified_at: float


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

    def entries(self, prefix: str) -> AsyncIterator[StoredEntry]:
        """All files whose keys begin with a folder's prefix, in any order."""

    async def url(self, key: str, seconds: float) -> str:
        """A URL that works without a login for this many seconds (S3 and GCS: a week at most)."""

    async def ready(self) -> None:
        """Raise an `ExternalServiceError` that says why, when the store cannot be reached."""
