"""From a provider's answer to verified files in our store: find, download, verify, put, in that order.

Every step may be repeated: the key of a piece is always the same, and the store never holds an unverified file. The
engine decides about later tries.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from worker.errors import ServiceUnavailableError
from worker.files.base import Store
from worker.files.download import download
from worker.files.pieces import FoundFile, pieces_of
from worker.files.spool import Spool
from worker.files.verify import Verifier
from worker.jobs.file_keys import key_of
from worker.jobs.job import Artefact, Piece
from worker.net.repeat import three_attempts
from worker.testing import crash


@dataclass(frozen=True)
class FetchLimits:
    """The largest file, how many at a time in this process, seconds for one file, and the folder of large ones."""

    most_bytes: int
    concurrent: int = 16
    total_s: float = 900
    folder: Path | None = None


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
        self._slots = asyncio.Semaphore(limits.concurrent)
        self._uploads: Counter[str] = Counter()
        self._again = three_attempts(ServiceUnavailableError, sleep)

    async def fetch_all(self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        """Every promised piece of the answer, in our store. The first error cancels the others.

        Raises `ContentRefusedError` or `BrokenPieceError`; where a later try may succeed, `ServiceUnavailableError` or
        `RateLimitError`.
        """
        fetches = [asyncio.ensure_future(self.fetch(job_id, found)) for found in pieces_of(answer, pieces)]
        try:
            return tuple(await asyncio.gather(*fetches))
        finally:
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)

    async def keep_all(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        """Files that came inside an answer, in our store; fewer than promised if not all came.

        Raises as `fetch_all` does.
        """
        places = [(piece, n) for piece in pieces for n in range(piece.count)]
        found = [FoundFile(piece, n, "") for piece, n in places[: len(files)]]
        return tuple([await self._keep(job_id, one, data) for one, data in zip(found, files, strict=False)])

    def is_uploading(self, job_id: str) -> bool:
        """Whether a piece of this job is being uploaded to the store now."""
        return self._uploads[job_id] > 0

    async def fetch(self, job_id: str, found: FoundFile) -> Artefact:
        """One piece, in our store: up to three tries, 1 to 10 s apart."""
        return await self._again.copy()(self._once, job_id, found)

    async def _once(self, job_id: str, found: FoundFile) -> Artefact:
        limits = self._limits
        async with self._slots:
            with Spool(found.label, limits.most_bytes, limits.folder) as spool:
                await download(self._client, found, spool, limits.total_s)
                return await self._store_whole(job_id, found, spool)

    async def _keep(self, job_id: str, found: FoundFile, data: bytes) -> Artefact:
        async with self._slots:
            with Spool(found.label, self._limits.most_bytes, self._limits.folder) as spool:
                await spool.write(data)
                return await self._store_whole(job_id, found, spool)

    async def _store_whole(self, job_id: str, found: FoundFile, spool: Spool) -> Artefact:
        """The file in the spool, stored after it was verified."""
        seen = await self._verifier.check(found, spool.file)
        key = key_of(job_id, found.piece.name, found.n, seen.form.ending)
        crash.point("before_put")
        with self._upload(job_id):
            await self._store.put(key, spool.file, seen.form.content_type)
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

    @contextmanager
    def _upload(self, job_id: str) -> Iterator[None]:
        self._uploads[job_id] += 1
        try:
            yield
        finally:
            self._uploads[job_id] -= 1
            if not self._uploads[job_id]:
                del self._uploads[job_id]
