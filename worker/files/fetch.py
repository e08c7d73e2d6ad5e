"""From a provider's answer to verified files in our store: find, download, verify, put, in that order.

Every step may be repeated: the key of a piece is always the same, and the store never holds an unverified file. The
engine decides about later tries.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from worker.errors import ServiceUnavailableError
from worker.files.base import Store
from worker.files.download import download
from worker.files.limits import FetchLimits
from worker.files.pieces import FoundFile, pieces_of
from worker.files.slots import BUSY, SharedSlots, SlotUser, host_of
from worker.files.spool import DISK, Spool
from worker.files.verify import Verifier
from worker.jobs.file_keys import key_of
from worker.jobs.job import Artefact, Piece
from worker.net.repeat import three_attempts
from worker.testing import crash

_NOT_AGAIN = frozenset({BUSY, DISK, "too_slow"})  # kinds of errors that end within seconds only if the row waits


class Fetcher:
    """Fetches pieces. The client, the store and the verifier belong to the caller."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        store: Store,
        verifier: Verifier,
        limits: FetchLimits,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client, self._store, self._verifier, self._limits = client, store, verifier, limits
        self._slots = SharedSlots(limits.concurrent)
        self._put_slots = asyncio.Semaphore(limits.concurrent)
        self._uploads: Counter[str] = Counter()
        self._again = three_attempts(ServiceUnavailableError, sleep, unless=lambda error: error.kind in _NOT_AGAIN)

    async def fetch_all(
        self, folder: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> tuple[Artefact, ...]:
        """Every promised piece of the answer, in our store. The first error cancels the others.

        Raises `ContentRefusedError` or `BrokenPieceError`; where a later try may succeed, `ServiceUnavailableError` or
        `RateLimitError`. Its kind is `busy` when no slot came free: transfers share slots by tenant and host.
        """
        fetches = [asyncio.ensure_future(self.fetch(folder, found, tenant)) for found in pieces_of(answer, pieces)]
        try:
            return tuple(await asyncio.gather(*fetches))
        finally:
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)

    async def keep_all(self, folder: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        """Files that came inside an answer, in our store; fewer than promised if not all came.

        Raises as `fetch_all` does.
        """
        places = [(piece, n) for piece in pieces for n in range(piece.count)]
        found = [FoundFile(piece, n, "") for piece, n in places[: len(files)]]
        return tuple([await self._keep(folder, one, data) for one, data in zip(found, files, strict=False)])

    def is_uploading(self, folder: str) -> bool:
        """Whether a piece of this job is being uploaded to the store now."""
        return self._uploads[folder] > 0

    async def fetch(self, folder: str, found: FoundFile, tenant: str | None = None) -> Artefact:
        """One piece, in our store: up to three tries, 1 to 10 s apart."""
        return await self._again.copy()(self._once, folder, found, tenant)

    async def _once(self, folder: str, found: FoundFile, tenant: str | None) -> Artefact:
        limits, kind = self._limits, found.piece.kind
        with self._spool(found) as spool:
            async with self._slots.take(SlotUser(tenant, host_of(found.url), folder)):
                await download(self._client, found, spool, limits.seconds_of(kind), limits.pace)
            return await self._store_whole(folder, found, spool, tenant)

    async def _keep(self, folder: str, found: FoundFile, data: bytes) -> Artefact:
        with self._spool(found) as spool:
            await spool.write(data)
            return await self._store_whole(folder, found, spool)

    def _spool(self, found: FoundFile) -> Spool:
        return Spool(found.label, self._limits.bytes_of(found.piece.kind), self._limits.folder)

    async def _store_whole(self, folder: str, found: FoundFile, spool: Spool, tenant: str | None = None) -> Artefact:
        """The file in the spool, stored after it was verified."""
        seen = await self._verifier.check(found, spool.file, tenant=tenant)
        key = key_of(folder, found.piece.name, found.n, seen.form.ending)
        crash.point("before_put")
        async with self._put_slots:
            await self._put(folder, key, spool, seen.form.content_type)
        crash.point("after_put")
        return Artefact(
            name=found.piece.name,
            key=key,
            kind=found.piece.kind,
            content_type=seen.form.content_type,
            bytes=spool.bytes,
            sha256=spool.sha256,
            width=seen.width,
            height=seen.height,
            duration_s=seen.duration_s,
        )

    async def _put(self, folder: str, key: str, spool: Spool, content_type: str) -> None:
        total_s = self._limits.pace.total_s(spool.bytes)
        try:
            async with asyncio.timeout(total_s):
                with self._upload(folder):
                    await self._store.put(key, spool.file, content_type)
        except TimeoutError as error:
            text = f"the store took more than {total_s:g} s for {spool.bytes} bytes"
            raise ServiceUnavailableError(text, kind="store") from error

    @contextmanager
    def _upload(self, folder: str) -> Iterator[None]:
        self._uploads[folder] += 1
        try:
            yield
        finally:
            self._uploads[folder] -= 1
            if not self._uploads[folder]:
                del self._uploads[folder]
