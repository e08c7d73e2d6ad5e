"""One dispatcher with everything around it faked: a provider that answers from lists, a clock that the test winds."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.catalogue import load_catalogue
from worker.dispatch import Dispatcher, Pace
from worker.errors import ExternalServiceError
from worker.job import Artefact, Job, Options, Piece, Stage, Step, Ticket
from worker.ledger.memory import MemoryLedger
from worker.providers.base import Call, Ended, Fault, Reply, Sighting, Sought, Stop
from worker.status import JobStatus
from worker.turn import Bench
from worker.webhook import Heard

LEASE_S = 8.0
DONE = Reply({"images": [{"url": "https://x/y.png"}], "seed": 7}, billed_units=2)


class FakeFal:
    """A provider that answers from lists; the last answer stays."""

    name = "fal"
    call_s = 30.0
    lists_requests = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.submits: list[Any] = [Ticket("r-1")]
        self.looks: list[Any] = [Ended(inference_s=1.5)]
        self.results: list[Any] = [DONE]
        self.cancels: list[Any] = [Stop.STOPPED]
        self.finds: list[Any] = [None]
        self.sought: list[Sought] = []
        self.sent: list[Call] = []
        self.before_submit: Callable[[], None] = lambda: None

    async def submit(self, call: Call) -> Ticket:
        self.before_submit()
        self.sent.append(call)
        return self._next("submit", self.submits)  # type: ignore[no-any-return]

    async def look(self, endpoint: str, ticket: Ticket) -> Sighting:
        return self._next("look", self.looks)  # type: ignore[no-any-return]

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | Fault:
        return self._next("result", self.results)  # type: ignore[no-any-return]

    async def cancel(self, endpoint: str, ticket: Ticket) -> Stop:
        return self._next("cancel", self.cancels)  # type: ignore[no-any-return]

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        return Ticket(request_id)

    async def find(self, sought: Sought) -> Ticket | None:
        self.sought.append(sought)
        return self._next("find", self.finds)  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        return None

    def _next(self, name: str, answers: list[Any]) -> Any:
        self.calls.append(name)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class FakeFetcher:
    def __init__(self) -> None:
        self.errors: list[ExternalServiceError] = []
        self.upload_s: float | None = None
        self.uploading: set[str] = set()

    def is_uploading(self, job_id: str) -> bool:
        return job_id in self.uploading

    async def fetch_all(self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        if self.upload_s:
            self.uploading.add(job_id)
            await asyncio.sleep(self.upload_s)
            self.uploading.remove(job_id)
        if self.errors:
            raise self.errors.pop(0)
        return (Artefact("images", f"jobs/{job_id}/images-0.png", "image", "image/png", 3, "00", 10, 10),)


class FakeStore:
    async def url(self, key: str, seconds: float) -> str:
        return f"https://ours/{key}"


class FakeOutside:
    """Remembers what it was told, and may fail to be reached."""

    def __init__(self) -> None:
        self.told: list[JobStatus] = []
        self.milestones: list[str] = []
        self.closed: list[Job] = []
        self.sent: list[Job] = []
        self.away = False

    async def tell(self, job: Job, status: JobStatus, milestone: bool) -> None:
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


@dataclass
class World:
    """One dispatcher and everything around it."""

    now: float = 1000.0
    fal: FakeFal = field(default_factory=FakeFal)
    fetcher: FakeFetcher = field(default_factory=FakeFetcher)
    outside: FakeOutside = field(default_factory=FakeOutside)
    providers: dict[str, Any] = field(default_factory=dict)
    disabled: dict[str, str] = field(
        default_factory=lambda: {"vertex": "set GOOGLE_CLOUD_PROJECT", "fal": "set FAL_KEY"}
    )

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(lambda: self.now)
        self.providers["fal"] = self.fal
        self.dispatcher = self.another()

    def another(self) -> Dispatcher:
        fetcher: Any = self.fetcher
        store: Any = FakeStore()
        bench = Bench(load_catalogue(), self.providers, self.disabled, fetcher, store, 60.0, chance=lambda: 0.5)
        pace = Pace(["generation"], LEASE_S, 10, monotonic=lambda: self.now)
        return Dispatcher(self.ledger, bench, self.outside, pace)

    async def accept(self, **options: Any) -> Job:
        step = Step("flux-schnell", {"prompt": "x"}, (Piece("images", "image", "images.*"),))
        job = Job("a", "generation.text_to_image", "generation", {}, step, Options(**options), 0.0)
        return (await self.ledger.accept(job))[1]

    async def hear(self, attempt: int = 1, **told: Any) -> None:
        """A webhook, as the gateway leaves it on the row."""
        heard = Heard(**{"request_id": "r-1", "status": "OK", "payload": DONE.output, "at": self.now, **told})
        await self.ledger.signal("a", f"webhook:{attempt}", heard.dump())

    async def turn(self, dispatcher: Dispatcher | None = None) -> Job:
        """One round: claim what is due and see it through."""
        dispatcher = dispatcher or self.dispatcher
        await dispatcher._round()
        await asyncio.gather(*(task for _, task in dispatcher._held.values()), return_exceptions=True)
        return await self.row()

    async def row(self) -> Job:
        row = await self.ledger.get("a")
        assert row
        return row

    async def until(self, stage: Stage, seconds: float = 600.0) -> Job:
        """Turn, letting time pass, until the row is at this stage."""
        end = self.now + seconds
        while (row := await self.turn()).stage != stage:
            assert self.now < end, f"still {row.stage}"
            self.now += 0.5
        return row
