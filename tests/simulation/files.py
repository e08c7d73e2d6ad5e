"""The store of a world, and what brings files into it. Downloads, decoding and checks have tests of their own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, BinaryIO

from tests.simulation.decisions import CRASH, FREEZE, Decisions, Fault
from tests.simulation.virtual_loop import CrashedError, Process
from worker.errors import ServiceUnavailableError
from worker.files.fetch import Fetched
from worker.files.pieces import pieces_of
from worker.jobs.job import Artefact, Piece
from worker.testing import crash

AWAY = Fault("store away", weight=0.5)


class Files:
    """See `worker.files.fetch.Fetcher` and `worker.files.base.Store`. One for each worker; the store is the world's."""

    def __init__(
        self, stored: dict[str, float], objects: dict[str, bytes], process: Process, decisions: Decisions
    ) -> None:
        self._stored, self._objects, self._process, self._decisions = stored, objects, process, decisions

    def is_uploading(self, job_id: str) -> bool:
        """Never: files are small."""
        return False

    async def fetch_all(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> tuple[Artefact, ...]:
        """Store every file of the answer."""
        return tuple([await self._keep(job_id, found.piece, found.n) for found in pieces_of(answer, pieces)])

    async def keep_all(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        """Store files that came inside an answer."""
        return tuple([await self._keep(job_id, pieces[0], n) for n in range(len(files))])

    async def fetch_rest(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> Fetched:
        """No file is bad by itself: what failed for all fails for the rest."""
        return Fetched(await self.fetch_all(job_id, answer, pieces, tenant=tenant), ())

    async def keep_rest(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> Fetched:
        """As `fetch_rest`."""
        return Fetched(await self.keep_all(job_id, files, pieces), ())

    async def _keep(self, job_id: str, piece: Piece, n: int) -> Artefact:
        process, label = self._process, f"{self._process.name} put"
        process.check()
        fault, seconds = self._decisions.fault(label, (CRASH, FREEZE, AWAY))
        if fault == CRASH.name:
            process.crash()
            raise CrashedError
        if fault == FREEZE.name:
            process.freeze(seconds)
        await asyncio.sleep(self._decisions.between(label, 0.01, 0.5))
        if fault == AWAY.name:
            raise ServiceUnavailableError("the store is away")
        crash.point("before_put")
        key = f"jobs/{job_id}/{piece.name}-{n}"
        self._stored[key] = process.loop.time()
        crash.point("after_put")
        return Artefact(piece.name, key, piece.kind, "application/octet-stream", 3, "00", 10, 10)

    async def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Keep an object of ours, such as the outcome of a submission."""
        self._process.check()
        fault, _ = self._decisions.fault(f"{self._process.name} put object", (CRASH, AWAY))
        if fault == CRASH.name:
            self._process.crash()
            raise CrashedError
        await asyncio.sleep(0.05)
        if fault == AWAY.name:
            raise ServiceUnavailableError("the store is away")
        self._objects[key] = file.read()

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """An object of ours."""
        await asyncio.sleep(0.05)
        yield self._objects[key]

    async def delete(self, key: str) -> None:
        """Remove an object of ours."""
        self._process.check()
        self._objects.pop(key, None)

    async def url(self, key: str, seconds: float) -> str:
        """A URL."""
        return f"https://ours/{key}"
