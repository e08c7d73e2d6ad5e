"""From a provider's answer to verified files in our store: find, download, verify, put, in that order.

Every step may be repeated: the key of a piece is always the same, and the store never holds an unverified file. The
engine decides about later tries.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from worker.errors import BrokenPieceError, ContentRefusedError, ExternalServiceError, ServiceUnavailableError
from worker.files.base import Store
from worker.files.download import download
from worker.files.file_info import FileInfo
from worker.files.limits import FetchLimits
from worker.files.picture import BLACK
from worker.files.pieces import FLAGS, FoundFile, is_list, pieces_of
from worker.files.slots import BUSY, SharedSlots, SlotUser, host_of
from worker.files.spool import DISK, Spool
from worker.files.verify import Verifier
from worker.jobs.file_keys import key_of
from worker.jobs.job import Artefact, Piece
from worker.net.repeat import three_attempts
from worker.testing import crash

AT_ONCE = 4  # files of one job, the share of a job in the slots: it fills no queue of those who wait with its own files
BUSY_TRIES, BUSY_PAUSE_S = 15, 2.0
_NOT_AGAIN = frozenset({BUSY, DISK, "too_slow"})  # kinds of errors that end within seconds only if the row waits


@dataclass(frozen=True)
class Fetched:
    """The files that could be stored, and why others of the same lists could not."""

    artefacts: tuple[Artefact, ...]
    missing: tuple[ExternalServiceError, ...]


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
        self._slots, self._sleep = SharedSlots(limits.concurrent), sleep
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
        turns = asyncio.Semaphore(AT_ONCE)
        wanted = pieces_of(answer, pieces)
        fetches = [asyncio.ensure_future(_in_turn(turns, self.fetch, folder, each, tenant)) for each in wanted]
        try:
            return tuple(await asyncio.gather(*fetches))
        finally:
            await _end(fetches)

    async def fetch_rest(
        self, folder: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> Fetched:
        """The pieces that can be had, once `fetch_all` has finally failed: one bad file of a list loses no other.

        Raises the first error if no file of the list can be had, or if the bad file is not in a list; not for pieces
        `as_found`, which are a part of an answer.
        """
        found = _several(pieces_of(answer, pieces))
        turns = asyncio.Semaphore(AT_ONCE)
        fetches = [asyncio.ensure_future(_in_turn(turns, self._patiently, folder, one, tenant)) for one in found]
        try:
            return _rest(found, await asyncio.gather(*fetches, return_exceptions=True))
        finally:
            await _end(fetches)

    async def keep_all(self, folder: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        """Files that came inside an answer, in our store; fewer than promised if not all came.

        Raises as `fetch_all` does.
        """
        found = _in_hand(files, pieces)
        return tuple([await self._keep(folder, one, data) for one, data in zip(found, files, strict=False)])

    async def keep_rest(self, folder: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> Fetched:
        """As `fetch_rest`, for files that came inside an answer."""
        found = _several(_in_hand(files, pieces))
        keeps = (self._keep(folder, one, data) for one, data in zip(found, files, strict=False))
        return _rest(found, await asyncio.gather(*keeps, return_exceptions=True))

    def is_uploading(self, folder: str) -> bool:
        """Whether a piece of this job is being uploaded to the store now."""
        return self._uploads[folder] > 0

    async def fetch(self, folder: str, found: FoundFile, tenant: str | None = None) -> Artefact:
        """One piece, in our store: up to three tries, 1 to 10 s apart."""
        return await self._again.copy()(self._once, folder, found, tenant)

    async def _patiently(self, folder: str, found: FoundFile, tenant: str | None) -> Artefact:
        """As `fetch`. That no slot comes free says nothing about the file, so it is waited for."""
        for _ in range(BUSY_TRIES):
            try:
                return await self.fetch(folder, found, tenant)
            except ServiceUnavailableError as error:
                if error.kind != BUSY:
                    raise
                await self._sleep(BUSY_PAUSE_S)
        return await self.fetch(folder, found, tenant)

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
        try:
            seen = await self._verifier.check(found, spool.file, tenant=tenant)
        except BrokenPieceError as error:
            if error.kind == BLACK and found.suspected:
                raise ContentRefusedError(f"{error.message} ({FLAGS})", kind=FLAGS) from error
            raise
        key = key_of(folder, found.piece.name, found.n, seen.form.ending)
        kind = seen.form.kind if found.piece.as_found else found.piece.kind
        crash.point("before_put")
        async with self._put_slots:
            await self._put(folder, key, spool, seen.form.content_type)
            poster_key = await self._put_poster(folder, found, seen)
        crash.point("after_put")
        return Artefact(
            name=found.piece.name,
            key=key,
            kind=kind,
            content_type=seen.form.content_type,
            bytes=spool.bytes,
            sha256=spool.sha256,
            width=seen.width,
            height=seen.height,
            duration_s=seen.duration_s,
            has_sound=seen.has_sound if kind == "video" else None,
            poster_key=poster_key,
        )

    async def _put_poster(self, folder: str, found: FoundFile, seen: FileInfo) -> str | None:
        """The key of a frame of a video, stored beside it."""
        if not seen.poster:
            return None
        key = key_of(folder, f"{found.piece.name}-poster", found.n, "jpg")
        with self._spool(found) as spool:
            await spool.write(base64.b64decode(seen.poster))
            await self._put(folder, key, spool, "image/jpeg")
        return key

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


async def _in_turn(
    turns: asyncio.Semaphore,
    fetch: Callable[[str, FoundFile, str | None], Awaitable[Artefact]],
    folder: str,
    found: FoundFile,
    tenant: str | None,
) -> Artefact:
    async with turns:
        return await fetch(folder, found, tenant)


def _in_hand(files: Sequence[bytes], pieces: Sequence[Piece]) -> list[FoundFile]:
    """The files of the pieces in the order of promise, as many as came."""
    places = [(piece, n) for piece in pieces for n in range(piece.count)]
    return [FoundFile(piece, n, "") for piece, n in places[: len(files)]]


def _several(found: Sequence[FoundFile]) -> Sequence[FoundFile]:
    """The same files. Raises `BrokenPieceError` for a single one, which has failed, unless its answer counts alone."""
    if len(found) < 2 and not any(one.piece.as_found for one in found):
        raise BrokenPieceError("the answer has no other file")
    return found


def _rest(found: Sequence[FoundFile], results: Sequence[Artefact | BaseException]) -> Fetched:
    stored = [each for each in results if isinstance(each, Artefact)]
    names = {artefact.name for artefact in stored}
    missing = list[ExternalServiceError]()
    for one, result in zip(found, results, strict=False):
        if isinstance(result, BaseException):
            is_left = one.piece.as_found or (is_list(one.piece) and one.piece.name in names)
            if not isinstance(result, ExternalServiceError) or not is_left:
                raise result
            missing.append(result)
    return Fetched(tuple(stored), tuple(missing))


async def _end(fetches: Sequence["asyncio.Future[Artefact]"]) -> None:
    for fetch in fetches:
        fetch.cancel()
    await asyncio.gather(*fetches, return_exceptions=True)
