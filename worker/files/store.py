"""The store over obstore: a folder, S3 or GCS behind one client. It knows nothing of jobs and checks no files.

obstore reads credentials and endpoint of S3 and GCS from their own environment names (AWS_ENDPOINT_URL,
AWS_ALLOW_HTTP, GOOGLE_APPLICATION_CREDENTIALS …). It starts threads at first use, so a process that forks must do so
before `open_store`.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import GCSStore, LocalStore, MemoryStore, S3Store

from config.clean_values import clean_variables
from config.settings import GatewaySettings, StoreSettings
from worker.errors import ServiceUnavailableError
from worker.files.base import Store, StoredEntry
from worker.files.signing import require_secret, sign
from worker.jobs.file_keys import checked

_PRESIGNED_LONGEST_S = 7 * 86400  # the longest that S3 and GCS accept
_CHUNK_BYTES = 1 << 20
_PART_BYTES = 8 << 20  # of a multipart upload; at most four are in memory


class Urls(Protocol):
    """Makes URLs for a store's files."""

    async def url(self, key: str, seconds: float) -> str:
        """A URL of `key` that works for so long."""


class GatewayUrls:
    """Signed URLs of our own gateway."""

    def __init__(self, secret: str, public_url: str, clock: Callable[[], float]) -> None:
        self._secret, self._public_url, self._clock = secret, public_url, clock

    async def url(self, key: str, seconds: float) -> str:
        """A URL of `key` that works for so long."""
        return f"{self._public_url}/files/{key}?{sign(self._secret, key, self._clock() + seconds)}"


class PresignedUrls:
    """Presigned URLs of S3 or GCS."""

    def __init__(self, objects: S3Store | GCSStore) -> None:
        self._objects = objects

    async def url(self, key: str, seconds: float) -> str:
        """A URL of `key` that works for so long, a week at most."""
        span = timedelta(seconds=min(seconds, _PRESIGNED_LONGEST_S))
        with _as_our_errors():
            return await obstore.sign_async(self._objects, "GET", key, span)


class ObjectStore:
    """Any obstore backend. S3 and GCS keep content types; in a folder the key's ending says it."""

    def __init__(self, objects: LocalStore | MemoryStore | S3Store | GCSStore, urls: Urls) -> None:
        self._objects, self._urls = objects, urls

    async def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Keep all of `file` under `key`. obstore writes beside it and renames, or completes a multipart upload."""
        kept = None if isinstance(self._objects, LocalStore) else {"Content-Type": content_type}
        file.seek(0)
        with _as_our_errors():
            await obstore.put_async(
                self._objects, checked(key), file, attributes=kept, chunk_size=_PART_BYTES, max_concurrency=4
            )

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream what is under `key`; `KeyError` when there is nothing."""
        try:
            with _as_our_errors():
                result = await obstore.get_async(self._objects, checked(key))
                async for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
                    yield bytes(chunk)
        except FileNotFoundError:
            raise KeyError(key) from None

    async def delete(self, key: str) -> None:
        """Forget `key`; nothing happens when there is nothing."""
        try:
            with _as_our_errors():
                await obstore.delete_async(self._objects, checked(key))
        except FileNotFoundError:
            return

    async def entries(self, prefix: str) -> AsyncIterator[StoredEntry]:
        """All files under a prefix."""
        with _as_our_errors():
            async for page in obstore.list(self._objects, prefix.rstrip("/")):
                for each in page:
                    yield StoredEntry(each["path"], each["size"], each["last_modified"].timestamp())

    async def url(self, key: str, seconds: float) -> str:
        """A URL that works without a login for so long."""
        return await self._urls.url(checked(key), seconds)

    async def ready(self) -> None:
        """Raise when the store cannot be reached; a folder must also be writable."""
        if isinstance(self._objects, LocalStore) and not os.access(str(self._objects.prefix), os.R_OK | os.W_OK):
            raise ServiceUnavailableError(f"the store {self._objects.prefix} is not a folder that can be written")
        try:
            with _as_our_errors():
                await obstore.head_async(self._objects, "ready")
        except FileNotFoundError:
            return


def folder_of(store: StoreSettings) -> Path | None:
    """The folder of a `file://` store, None for the others."""
    parts = urlsplit(store.store_url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_urls(store: StoreSettings, gateway: GatewaySettings, clock: Callable[[], float] = time.time) -> Urls:
    """Only what makes URLs: it needs no folder on this machine. Without a secret: `SecretMissingError`."""
    if folder_of(store) is not None:
        return GatewayUrls(require_secret(gateway), gateway.public_url, clock)
    return PresignedUrls(_open_bucket(store))


def open_store(store: StoreSettings, gateway: GatewaySettings, clock: Callable[[], float] = time.time) -> Store:
    """The store that the settings name. A folder is made when missing; without a secret: `SecretMissingError`."""
    folder = folder_of(store)
    if folder is not None:
        urls = open_urls(store, gateway, clock)
        return ObjectStore(LocalStore(folder, mkdir=True), urls)
    return _bucket_store(store)


def open_for_writing(store: StoreSettings) -> Store:
    """The store for one who only puts files there: it needs no secret, and makes no URLs."""
    folder = folder_of(store)
    if folder is not None:
        return ObjectStore(LocalStore(folder), GatewayUrls("", "", time.time))
    return _bucket_store(store)


def _bucket_store(store: StoreSettings) -> Store:
    objects = _open_bucket(store)
    return ObjectStore(objects, PresignedUrls(objects))


def _open_bucket(store: StoreSettings) -> S3Store | GCSStore:
    clean_variables(("AWS_", "GOOGLE_"))
    backend = S3Store if store.store_url.startswith("s3://") else GCSStore
    # no client_options: giving any makes obstore ignore the environment's (AWS_ALLOW_HTTP)
    return backend.from_url(store.store_url, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)})


@contextmanager
def _as_our_errors() -> Iterator[None]:
    """obstore's errors as `ServiceUnavailableError`: wrong credentials of the store must not lose a paid piece.

    The first line of their text says what happened; the rest is a Rust debug dump.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise ServiceUnavailableError(
            f"the store failed: {str(error).partition(chr(10))[0][:300]}", kind="store"
        ) from error
