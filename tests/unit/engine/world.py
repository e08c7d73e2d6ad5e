"""One dispatcher with everything around it faked (`tests.unit.engine.fakes`), and a clock that the test winds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.catalogue import load_catalogue
from tests.unit.engine.fakes import (
    DONE,
    FakeAtOnce,
    FakeFal,
    FakeFetcher,
    FakeInputs,
    FakePublisher,
    FakeStore,
    WatchedHealth,
)
from worker.edge.app import app
from worker.edge.task import answer_checks, file_checks
from worker.engine.context import Context
from worker.engine.dispatcher import Dispatcher, DispatcherOptions
from worker.files.memory_budget import MemoryBudget
from worker.health.base import Policy
from worker.jobs.job import Job, Options, Piece, Stage, Step
from worker.jobs.signals import WebhookReport
from worker.ledger.memory import MemoryLedger

LEASE_S = 8.0
IMAGES = (Piece("images", "image", "images.*"),)
CATALOGUE = load_catalogue()


@dataclass
class World:
    """One dispatcher and everything around it."""

    now: float = 1000.0
    fal: FakeFal = field(default_factory=FakeFal)
    fetcher: FakeFetcher = field(default_factory=FakeFetcher)
    store: FakeStore = field(default_factory=FakeStore)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    providers: dict[str, Any] = field(default_factory=dict)
    health: WatchedHealth | None = None
    inputs: FakeInputs | None = None
    memory: MemoryBudget | None = None
    disabled: dict[str, str] = field(
        default_factory=lambda: {"vertex": "set GOOGLE_CLOUD_PROJECT", "fal": "set FAL_KEY"}
    )

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(lambda: self.now)
        self.providers["fal"] = self.fal
        self.dispatcher = self.another()

    def another(self, ledger: Any = None, **more: Any) -> Dispatcher:
        """Another worker's dispatcher, over the same ledger unless one is given."""
        fetcher: Any = self.fetcher
        store: Any = self.store
        inputs: Any = self.inputs
        context = Context(
            CATALOGUE,
            self.providers,
            self.disabled,
            fetcher,
            store,
            60.0,
            chance=lambda: 0.5,
            health=self.health,
            inputs=inputs,
            memory=self.memory,
            signals=self._signals,
            own_run=self.ledger.own_run,
            checks=answer_checks(app),
            **{"file_checks": file_checks(app), **more},
        )
        pace = DispatcherOptions(["generation"], LEASE_S, 10, monotonic=lambda: self.now, idle_s=0.0)
        return Dispatcher(ledger or self.ledger, context, self.publisher, pace)

    async def _signals(self, job_id: str) -> Mapping[str, str]:
        row = await self.ledger.row(job_id)
        return row.signals if row else {}

    async def accept(self, model: str = "flux-schnell", given: Mapping[str, Any] | None = None, **options: Any) -> Job:
        """A job for pictures; `given` are arguments beside the prompt."""
        return await self.accept_step(Step(model, {"prompt": "x", **(given or {})}, IMAGES), **options)

    async def accept_step(self, step: Step, task: str = "generation.text_to_image", **more: Any) -> Job:
        request = more.pop("request", {})
        job = Job("a", task, "generation", request, step, Options(**more), 0.0, folder="a")
        return (await self.ledger.accept(job))[1]

    async def hear(self, attempt: int = 1, **told: Any) -> None:
        """A webhook, as the gateway leaves it on the row."""
        heard = WebhookReport(**{"request_id": "r-1", "status": "OK", "payload": DONE.output, "at": self.now, **told})
        await self.ledger.signal("a", f"webhook:{attempt}", heard.dump())

    async def turn(self, dispatcher: Dispatcher | None = None) -> Job:
        """Claim what is due and wait until it is let go."""
        dispatcher = dispatcher or self.dispatcher
        await dispatcher.run_once()
        await dispatcher.idle()
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


def world_of_two(policy: Policy | None = None, **others: FakeAtOnce) -> World:
    """A world with vertex (or the `others`) beside fal, the health of both, and files that can be brought."""
    world = World()
    world.health = WatchedHealth(lambda: world.now, policy or Policy())
    world.inputs = FakeInputs()
    world.providers.update(others or {"vertex": FakeAtOnce()})
    world.dispatcher = world.another()
    return world
