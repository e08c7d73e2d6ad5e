"""Brings the files that go with a call: from our store, from foreign URLs, from data URIs. Checked before use.

A refusal is final, names the field and what is allowed, and quotes nothing that a server sent. An error that a later
try may cure (a server or our store is away) is raised as it is.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.files.archive import ArchiveLimits, is_archive, see_archive
from worker.files.base import Store
from worker.files.convert import PLAIN_TYPES, must_convert
from worker.files.download import download
from worker.files.file_info import DefectError
from worker.files.fit import ImageLimits, check_file, fit_image
from worker.files.formats import HEAD_BYTES, HEIC, by_content_type, describe
from worker.files.input_refs import OwnUrls, StoredFile, is_inline, may_be_handed_on, read_ref
from worker.files.input_refusals import Budget, as_refusal, raise_together
from worker.files.landing import Landing
from worker.files.media import Media
from worker.files.odd_refs import has_odd_ending, is_odd_inline
from worker.files.pieces import FoundFile
from worker.files.slots import SharedSlots, SlotUser, host_of
from worker.files.spool import Spool
from worker.files.verify import Verifier, any_file
from worker.jobs.job import Kind, Piece
from worker.net.pace import PACE, Pace, least_throughput
from worker.net.public import AddressPolicy

AT_ONCE = 4  # files of one call
T = TypeVar("T")
Upload = Callable[[Media], Awaitable[str]]  # uploads a file to the provider and returns its URL there
UploadLarge = Callable[[Path], Awaitable[str]]  # the same of a file on this disk
MOST_MEGAPIXELS = 64  # of a picture that goes with a call; providers scale larger ones down, or refuse them


@dataclass(frozen=True)
class InputLimits:
    """Seconds for all files of a call, how many files at a time in this process, and the folder of large files.

    `large_…` are of weights and archives that go by the disk, each by itself.
    """

    total_s: float = 60
    concurrent: int = 16
    large_bytes: int = 2_048_000_000
    large_s: float = 900
    large_concurrent: int = 2
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)
    folder: Path | None = None
    pace: Pace = PACE


class InputFiles:
    """Brings files. The client, the store and the verifier belong to the caller.

    `policy` allows what a provider can fetch by itself; the client has a policy of its own.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        store: Store,
        verifier: Verifier,
        own: OwnUrls,
        policy: AddressPolicy,
        limits: InputLimits | None = None,
    ) -> None:
        self._client, self._store, self._verifier, self._own, self._policy = client, store, verifier, own, policy
        self._limits = limits or InputLimits()
        self._slots, self._fitting = SharedSlots(self._limits.concurrent), asyncio.Semaphore(1)
        self._large_slots = SharedSlots(self._limits.large_concurrent, patience_s=self._limits.large_s)
        self._large_jobs: Counter[str | None] = Counter()

    async def bring(
        self,
        refs: Sequence[str],
        *,
        most_bytes: int,
        kind: Kind = "image",
        fit: ImageLimits | None = None,
        labels: Sequence[str] = (),
        tenant: str | None = None,
    ) -> tuple[Media, ...]:
        """The files, in the order of their references; a reference that is named twice is brought once.

        Together they have `most_bytes` at most, before each is fitted to `fit`. `labels` are what
        messages call them: `images.0`. Raises `RequestRefusedError` of kind `address`, `inside`, `redirects`, `status`,
        `encoding`, `too_large`, `too_slow`, `too_many_pixels`, `bomb`, `wrong_type`, `broken`, `signature`,
        `tenant` or `missing`; `ServiceUnavailableError` or `RateLimitError` where a later try may succeed.
        """
        media = await self._bring(_once_each(refs, labels), most_bytes, kind, fit, tenant)
        return tuple(media[ref] for ref in refs)

    def must_be_brought(self, ref: str) -> bool:
        """Whether a provider cannot be given the reference itself.

        That is a file of ours, an address that is not public, or a picture that must be converted: one inside a data:
        URI, or one whose URL says so by its ending. Other URLs are not fetched to look.
        """
        if is_inline(ref):
            return is_odd_inline(ref)
        return not may_be_handed_on(ref, self._policy) or has_odd_ending(ref)

    async def as_urls(
        self,
        refs: Sequence[str],
        upload: Upload,
        *,
        most_bytes: int,
        kind: Kind = "image",
        fit: ImageLimits | None = None,
        labels: Sequence[str] = (),
        tenant: str | None = None,
    ) -> tuple[str, ...]:
        """URLs that a provider can fetch: public ones unchanged, all other files brought and uploaded, once each.

        Raises what `bring` and `upload` raise.
        """
        rest = {
            ref: label for ref, label in _once_each(refs, labels).items() if is_inline(ref) or self.must_be_brought(ref)
        }
        media = await self._bring(rest, most_bytes, kind, fit, tenant)
        urls = {ref: await upload(each) for ref, each in media.items()}
        return tuple(urls.get(ref, ref) for ref in refs)

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Run work on whole pictures in a thread, one after another: a large picture takes up to 500 MB."""
        async with self._fitting:
            return await asyncio.to_thread(work)

    def begin_large(self, tenant: str | None = None) -> bool:
        """Whether one more job may bring large files now. Each such job holds a claim while it waits.

        Half of them at most are of one tenant.
        """
        most = 2 * self._limits.large_concurrent
        if self._large_jobs.total() >= most or (tenant and 2 * self._large_jobs[tenant] >= most):
            return False
        self._large_jobs[tenant] += 1
        return True

    def end_large(self, tenant: str | None = None) -> None:
        """A job that began to bring large files has ended that, with or without them."""
        self._large_jobs[tenant] -= 1

    async def hand_over(
        self,
        ref: str,
        upload: UploadLarge,
        *,
        kind: Kind,
        name: str,
        tenant: str | None = None,
        is_any: bool = False,
    ) -> str:
        """Bring a large file (an archive has the kind `file`) to the disk, upload it from there, and return its URL.

        It is never whole in memory. `name` is what messages call it. `is_any`: it may be anything, and is not checked.
        Raises what `bring` and `upload` raise.
        """
        found = FoundFile(Piece(name, kind, name, as_found=is_any), 0, "" if is_inline(ref) else ref)
        async with self._large_slots.take(SlotUser(tenant)):
            with Landing(found.label, self._limits.large_bytes, self._limits.folder) as landing:
                until = asyncio.get_running_loop().time() + self._limits.large_s
                await self._fill(_Wanted(ref, found, tenant), landing.spool, Budget(self._limits.large_bytes), until)
                ending = await self._ending_of(found, landing.spool, tenant)
                return await upload(landing.named(f"{kind}.{ending}"))

    async def _ending_of(self, found: FoundFile, spool: Spool, tenant: str | None) -> str:
        """The file's format, from its bytes, as the ending of a name."""
        with as_refusal(found.label):
            if found.piece.as_found:
                return any_file(found).ending
            if found.piece.kind != "file":
                return (await self._verifier.check(found, spool.file, tenant=tenant)).form.ending
            head = spool.file.read(HEAD_BYTES)
            if not is_archive(head):
                raise DefectError(f"promised an archive (zip, tar.gz), got {describe(head, '')}", "wrong_type")
            return (await asyncio.to_thread(see_archive, spool.file, self._limits.archive)).form.ending

    async def _bring(
        self, labels: Mapping[str, str], most_bytes: int, kind: Kind, fit: ImageLimits | None, tenant: str | None
    ) -> dict[str, Media]:
        most = MOST_MEGAPIXELS if kind == "image" else None
        pieces = {ref: Piece(label, kind, label, most_megapixels=most) for ref, label in labels.items()}
        wanted = [_Wanted(ref, FoundFile(piece, 0, ""), tenant) for ref, piece in pieces.items()]
        budget = Budget(most_bytes)
        with ExitStack() as stack:
            spools = [(each, stack.enter_context(self._spool(each, budget))) for each in wanted]
            until = asyncio.get_running_loop().time() + self._limits.total_s
            turns = asyncio.Semaphore(AT_ONCE)
            await _all([self._fill_in_slot(turns, each, spool, budget, until, tenant) for each, spool in spools])
            refused, media = list[RequestRefusedError](), dict[str, Media]()
            for each, spool in spools:
                try:
                    media[each.ref] = await self._checked(each, spool, fit)
                except RequestRefusedError as error:
                    refused.append(error)
            raise_together(refused)
            return media

    async def _fill_in_slot(
        self,
        turns: asyncio.Semaphore,
        wanted: "_Wanted",
        spool: Spool,
        budget: Budget,
        until: float,
        tenant: str | None,
    ) -> None:
        async with turns, self._slots.take(SlotUser(tenant, host_of(wanted.ref))):
            await self._fill(wanted, spool, budget, until)

    def _spool(self, wanted: "_Wanted", budget: Budget) -> Spool:
        return Spool(wanted.found.label, budget.most_bytes, self._limits.folder, "")

    async def _fill(self, wanted: "_Wanted", spool: Spool, budget: Budget, until: float) -> None:
        found = wanted.found
        with as_refusal(found.label):
            source = read_ref(wanted.ref, self._own, found.label, wanted.tenant)
            if isinstance(source, StoredFile):
                await self._read(spool, source.key, found.label)
            else:
                left_s = max(0.0, until - asyncio.get_running_loop().time())
                file = replace(found, url=source.url)
                await download(self._client, file, spool, round(left_s, 3), self._limits.pace)
        budget.take(found.label, spool.bytes)

    async def _read(self, spool: Spool, key: str, label: str) -> None:
        try:
            async with least_throughput(self._limits.pace) as count:
                async for chunk in self._store.read(key):
                    count(len(chunk))
                    await spool.write(chunk)
        except TimeoutError as error:
            raise ServiceUnavailableError(f"{label}: our store is {error}", kind="store") from error
        except KeyError as error:
            raise RequestRefusedError(f"{label}: our store has no file {key}", kind="missing") from error

    async def _checked(self, wanted: "_Wanted", spool: Spool, fit: ImageLimits | None) -> Media:
        kind = wanted.found.piece.kind
        with as_refusal(wanted.found.label):
            if kind == "file" and is_archive(spool.file.read(HEAD_BYTES)):
                contents = await asyncio.to_thread(see_archive, spool.file, self._limits.archive)
                return check_file(Media(await asyncio.to_thread(spool.file.read), contents.form.content_type), fit)
            seen = await self._verifier.check(wanted.found, spool.file, may_be_black=True, tenant=wanted.tenant)
            taken = fit.content_types if fit and fit.content_types is not None else PLAIN_TYPES
            is_limited = fit is not None and (fit.most_pixels or fit.most_bytes)  # then `fit_image` converts it, too
            if kind == "image" and must_convert(seen, taken) and (not is_limited or seen.form == HEIC):
                media = await self._verifier.convert(wanted.found, spool.file, seen, taken, tenant=wanted.tenant)
                data, seen = media.data, replace(seen, form=by_content_type(media.content_type))
            else:
                data = await asyncio.to_thread(spool.file.read)
            if fit and kind == "image":
                async with self._fitting:  # a large picture takes up to 500 MB
                    return await asyncio.to_thread(fit_image, data, seen, fit)
            return check_file(Media(data, seen.form.content_type), fit)


@dataclass(frozen=True)
class _Wanted:
    ref: str
    found: FoundFile  # as messages call it
    tenant: str | None = None


def _once_each(refs: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """The label of each reference; one that is named twice goes by its first label."""
    found: dict[str, str] = {}
    for n, ref in enumerate(refs):
        found.setdefault(ref, labels[n] if labels else f"files.{n}")
    return found


async def _all(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them at once; the first error cancels the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
