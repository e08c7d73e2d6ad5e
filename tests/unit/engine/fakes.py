"""What stands around a dispatcher in its tests, faked: providers that answer from lists, files, the outside.

How they are put together is `tests.unit.engine.world`.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from worker.errors import ExternalServiceError, ServiceUnavailableError
from worker.files.fetch import Fetched
from worker.files.media import Media
from worker.health.base import Change, Permit, Policy, Wait
from worker.health.memory import MemoryHealth
from worker.health.verdict import Verdict
from worker.jobs.job import Artefact, Job, Piece, Ticket
from worker.jobs.status import JobStatus
from worker.providers.base import (
    Call,
    CancelResult,
    Ended,
    ListPrice,
    LostSubmission,
    Reply,
    RunFailure,
    RunStatus,
    SearchResult,
)

DONE = Reply({"images": [{"url": "https://x/y.png"}], "seed": 7}, billed_units=2)
PICTURE = Reply({"text": "", "images": 1}, billed_units=1.0, files=(b"picture",), version="gemini-nano-banana-2.1-002")


class FakeFal:
    """A provider that answers from lists; the last answer stays."""

    name = "fal"
    call_s = 30.0
    lists_requests = True
    result_bytes = 0

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.submits: list[Any] = [Ticket("r-1")]
        self.polls: list[Any] = [Ended(inference_s=1.5)]
        self.results: list[Any] = [DONE]
        self.cancels: list[Any] = [CancelResult.STOPPED]
        self.finds: list[Any] = [None]
        self.sought: list[LostSubmission] = []
        self.sent: list[Call] = []
        self.call_size = 0
        self.sized: list[int] = []
        self.uploads: list[Any] = ["https://theirs/1"]
        self.price: ListPrice | None = None
        self.priced: list[str] = []
        self.uploaded: list[Media | Path] = []
        self.before_submit: Callable[[], None] = lambda: None

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        self.sized.append(file_bytes)
        return self.call_size + file_bytes

    async def submit(self, call: Call) -> Ticket:
        self.before_submit()
        self.sent.append(call)
        return self._next("submit", self.submits)  # type: ignore[no-any-return]

    async def upload(self, media: Media | Path) -> str:
        self.uploaded.append(media)
        return self._next("upload", self.uploads)  # type: ignore[no-any-return]

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        return self._next("poll", self.polls)  # type: ignore[no-any-return]

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        return self._next("result", self.results)  # type: ignore[no-any-return]

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        return self._next("cancel", self.cancels)  # type: ignore[no-any-return]

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        return Ticket(request_id)

    async def find(self, sought: LostSubmission) -> SearchResult:
        """A `SearchResult`, or what a fresh list shows: a ticket, or None."""
        self.sought.append(sought)
        found = self._next("find", self.finds)
        return found if isinstance(found, SearchResult) else SearchResult(found, listed_until=math.inf)

    def list_price(self, endpoint: str) -> ListPrice | None:
        self.priced.append(endpoint)
        return self.price

    async def aclose(self) -> None:
        return None

    def _next(self, name: str, answers: list[Any]) -> Any:
        self.calls.append(name)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class FakeAtOnce(FakeFal):
    """A provider that answers inside the call, and lists nothing."""

    call_s = 60.0
    lists_requests = False

    def __init__(self, name: str = "vertex", *answers: Any) -> None:
        super().__init__()
        self.name = name
        self.submits = list(answers) or [PICTURE]


class FakeInputs:
    """Brings what it is asked for, or fails as told."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.asked: list[tuple[str, ...]] = []
        self.handed: list[tuple[str, str, str]] = []
        self.large, self.large_most = 0, 4

    def must_be_brought(self, ref: str) -> bool:
        return ref.startswith(("jobs/", "ours:"))

    async def in_turn(self, work: Callable[[], Any]) -> Any:
        return work()

    def begin_large(self, tenant: str | None = None) -> bool:
        may_begin = self.large < self.large_most
        self.large += may_begin
        return may_begin

    def end_large(self, tenant: str | None = None) -> None:
        self.large -= 1

    async def as_urls(
        self,
        refs: Sequence[str],
        upload: Callable[[Media], Awaitable[str]],
        *,
        most_bytes: int,
        labels: Sequence[str],
        tenant: str | None = None,
    ) -> tuple[str, ...]:
        return tuple([await upload(media) for media in await self.bring(refs, most_bytes=most_bytes, labels=labels)])

    async def hand_over(
        self,
        ref: str,
        upload: Callable[[Path], Awaitable[str]],
        *,
        kind: str,
        name: str,
        tenant: str | None = None,
        is_any: bool = False,
    ) -> str:
        self.handed.append((ref, kind, name))
        if self.errors:
            raise self.errors.pop(0)
        return await upload(Path(ref))

    async def bring(
        self,
        refs: Sequence[str],
        *,
        most_bytes: int,
        kind: Any = "image",
        labels: Sequence[str],
        fit: object = None,
        tenant: str | None = None,
    ) -> tuple[Media, ...]:
        self.asked.append(tuple(refs))
        if self.errors:
            raise self.errors.pop(0)
        return tuple(map(self.media, refs))

    def media(self, ref: str) -> Media:
        return Media(ref.encode(), "image/png")


class WatchedHealth(MemoryHealth):
    """The health in memory, with what it was asked and told."""

    def __init__(self, clock: Callable[[], float], policy: Policy) -> None:
        super().__init__(clock, policy)
        self.gone: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.tokens: Counter[str] = Counter()
        self.before_record: Callable[[], None] = lambda: None

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        answer = await super().acquire(provider, model, lease_s)
        if isinstance(answer, Permit):
            self.gone.append(answer.token or "")
        return answer

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        self.before_record()
        self.told.append((provider, verdict.kind))
        if permit:
            self.tokens[permit.token or ""] += 1
        return await super().record(provider, model, verdict, permit)

    async def open(self, provider: str, model: str = "x") -> None:
        """Have a provider's circuit open, as after a locked account."""
        await super().record(provider, model, Verdict("locked"), None)

    def leaks(self) -> list[str]:
        """Flights that nobody told the end of, or more than once."""
        return [token for token in self.gone if self.tokens[token] != 1]


class FakeFetcher:
    def __init__(self) -> None:
        self.errors: list[ExternalServiceError] = []
        self.keep_errors: list[Exception] = []
        self.failed_with: ExternalServiceError = ServiceUnavailableError("nothing failed yet")
        self.whole: tuple[int, ...] = ()  # the numbers of the files that are whole when others are finally bad
        self.kept: list[tuple[bytes, ...]] = []
        self.before_keep: Callable[[], None] = lambda: None
        self.upload_s: float | None = None
        self.uploading: set[str] = set()

    def is_uploading(self, job_id: str) -> bool:
        return job_id in self.uploading

    async def fetch_all(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> tuple[Artefact, ...]:
        if self.upload_s:
            self.uploading.add(job_id)
            await asyncio.sleep(self.upload_s)
            self.uploading.remove(job_id)
        if self.errors:
            self.failed_with = self.errors.pop(0)
            raise self.failed_with
        return (_artefact(job_id, 0),) if pieces else ()

    async def fetch_rest(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> Fetched:
        return self._rest(job_id)

    async def keep_rest(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> Fetched:
        return self._rest(job_id)

    def _rest(self, job_id: str) -> Fetched:
        if not self.whole:
            raise self.failed_with
        return Fetched(tuple(_artefact(job_id, n) for n in self.whole), (self.failed_with,))

    async def keep_all(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        self.before_keep()
        if self.keep_errors:
            error = self.keep_errors.pop(0)
            self.failed_with = error if isinstance(error, ExternalServiceError) else self.failed_with
            raise error
        self.kept.append(tuple(files))
        return tuple(_artefact(job_id, n) for n in range(len(files)))


def _artefact(job_id: str, n: int) -> Artefact:
    return Artefact("images", f"jobs/{job_id}/images-{n}.png", "image", "image/png", 3, "00", 10, 10)


class FakeStore:
    """Keeps what is put into it, unless it is away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def put(self, key: str, file: BinaryIO, content_type: str) -> None:
        if self.away:
            raise ServiceUnavailableError("store: away")
        self.kept[key] = file.read()

    async def read(self, key: str) -> AsyncIterator[bytes]:
        if self.away:
            raise ServiceUnavailableError("store: away")
        yield self.kept[key]

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def url(self, key: str, seconds: float) -> str:
        return f"https://ours/{key}"


class FakePublisher:
    """Remembers what it was told, and may fail to be reached."""

    def __init__(self) -> None:
        self.told: list[JobStatus] = []
        self.milestones: list[str] = []
        self.closed: list[Job] = []
        self.sent: list[Job] = []
        self.away = False

    async def publish(self, job: Job, status: JobStatus, milestone: bool) -> None:
        if self.away:
            raise ConnectionError
        self.told.append(status)
        if milestone:
            self.milestones.append(status.state)

    async def send(self, job: Job) -> None:
        if self.away:
            raise ConnectionError
        self.sent.append(job)

    async def close(self, job: Job) -> None:
        if self.away:
            raise ConnectionError
        self.closed.append(job)
