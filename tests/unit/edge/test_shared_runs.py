"""Equal requests with `reuse_s`: one run, one bill, several jobs, each with a cancel of its own."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from config.catalogue import SHARED, load_catalogue
from tasks.generation.from_words import TextToImage
from tasks.generation.requests import pictures_step
from worker.edge.shared_runs import NAME, Reuse, SharedRuns
from worker.errors import ServiceUnavailableError
from worker.jobs.cost import NOTHING_BILLED, Cost
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Artefact, Attempt, ErrorRecord, Job, Options, Receipt, Stage, Step, Ticket
from worker.jobs.signals import CANCEL, RUN_OF
from worker.jobs.status import VALUES
from worker.ledger.memory import MemoryLedger
from worker.providers.base import (
    RUN_CANCELLED,
    Call,
    CancelResult,
    Ended,
    LostSubmission,
    Queued,
    Reply,
    RunFailure,
    Running,
)

TASK, DAY = "generation.text_to_image", 86400.0
PAID = Cost(0.003, 1, "megapixel", estimated=False, lower_usd=0.003, upper_usd=0.003)
FILE = Artefact("images", "jobs/a/images-0.png", "image", "image/png", 9, "0" * 64)
RESULT = {
    "job_id": "run", "provider": "fal", "model": "flux-schnell", "seed": 7, "cost": {"usd": 0.003}, "images": [{"url": "u"}],
    "provenance": {"asked_for": "flux"}, "reused_from": None,
}  # fmt: skip


class World:
    """A ledger, and an app whose `apply_async` writes the row of a run."""

    def __init__(self) -> None:
        self.now, self.sent = 1000.0, list[dict[str, Any]]()
        self.ledger = MemoryLedger(lambda: self.now)
        task = SimpleNamespace(asks=TextToImage, order=pictures_step, apply_async=self._send)
        reuse = Reuse(load_catalogue(), None, FileOwners("http://x"), DAY, 7 * DAY)
        self.runs = SharedRuns(SimpleNamespace(tasks={TASK: task}), self.ledger, reuse)  # type: ignore[arg-type]
        self.is_away = False

    def _send(self, **message: Any) -> None:
        self.sent.append(message)
        headers = {"headers": message["headers"]}
        row = Job(
            message["task_id"],
            TASK,
            "generation",
            {},
            Step("flux-schnell", {}, ()),
            Options(),
            self.now,
            message=headers,
        )
        if row.id not in self.ledger.rows and not self.is_away:
            asyncio.run(self.ledger.accept(row))

    async def job(self, name: str, prompt: str = "a kiln", reuse_s: float = 60, **options: Any) -> Ticket:
        """A job that waits for its run."""
        request = {"prompt": prompt, "model": "flux-schnell"}
        step = Step(f"{SHARED}flux-schnell", request, ())
        job = Job(name, TASK, "generation", request, step, Options(reuse_s=reuse_s, **options), self.now)
        await self.ledger.accept(job)
        attempt = Attempt(1, NAME, "flux-schnell", self.now, ticket=Ticket(name))
        self.ledger.rows[name].job = replace(job, stage=Stage.WAITING, attempts=(attempt,))
        return Ticket(name)

    async def poll(self, ticket: Ticket) -> Any:
        return await self.runs.poll("flux-schnell", ticket)

    async def result(self, ticket: Ticket) -> Any:
        return await self.runs.result("flux-schnell", ticket)

    def run_of(self, ticket: Ticket) -> str:
        return self.ledger.rows[ticket.request_id].signals[RUN_OF]

    def end(self, ticket: Ticket, ending: Stage = Stage.COMPLETED, error: ErrorRecord | None = None) -> None:
        """The run of this job ends."""
        row = self.ledger.rows[self.run_of(ticket)]
        attempt = Attempt(1, "fal", "fal-ai/flux/schnell", self.now, ticket=Ticket("r"), cost=PAID, ended_at=self.now)
        done: Mapping[str, Any] = (
            {"artefacts": (FILE,), "result": RESULT} if ending is Stage.COMPLETED else {"error": error}
        )
        row.job = replace(
            row.job, stage=ending, ending=ending, attempts=(attempt,), closed_at=self.now, **done
        )  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


async def test_equal_requests_share_a_run_and_the_first_one_pays(world: World) -> None:
    one, two = await world.job("one"), await world.job("two", labels={"a": "b"}, priority="high")
    assert isinstance(await world.poll(one), Queued) and isinstance(await world.poll(two), Queued)
    assert len(world.sent) == 1 and world.run_of(one) == world.run_of(two)
    assert world.sent[0]["kwargs"] == {"prompt": "a kiln", "model": "flux-schnell"}, "and no reuse_s"
    row = world.ledger.rows[world.run_of(one)]
    row.job = replace(row.job, observed=replace(row.job.observed, running=True, logs=("50%",)))
    seen = await world.poll(two)
    assert isinstance(seen, Running) and seen.logs == (f"the run is job {world.run_of(one)}", "50%")
    world.end(one)
    assert isinstance(await world.poll(one), Ended) and isinstance(await world.poll(two), Ended)
    paid, free = await world.result(one), await world.result(two)
    assert isinstance(paid, Reply) and isinstance(free, Reply)
    assert paid.stored == free.stored == (FILE,)
    assert paid.cost == PAID and free.cost == NOTHING_BILLED
    provenance = {"provider": "fal", "model": "flux-schnell", "seed": 7, "provenance": {"asked_for": "flux"}}
    assert paid.output == {VALUES: {**provenance, "reused_from": None}}
    assert free.output == {VALUES: {**provenance, "reused_from": world.run_of(one)}}


@pytest.mark.parametrize(
    ("age_s", "more", "is_reused"),
    [
        (50, {}, True),
        (70, {}, False),
        (70, {"reuse_s": 100.0}, True),
        (2 * DAY, {"reuse_s": 3 * DAY}, False),  # its URLs have ended
        (1, {"prompt": "a pot"}, False),
        (1, {"tenant": "acme"}, False),
        (1, {"allow_degraded": True}, False),
        (1, {"provider": "fal"}, False),
        (1, {"deadline_s": 9.0}, True),
    ],
)
async def test_a_finished_run_is_reused_by_equal_requests_in_time(
    world: World, age_s: float, more: dict[str, Any], is_reused: bool
) -> None:
    await world.poll(first := await world.job("first"))
    world.end(first)
    world.now += age_s
    await world.poll(later := await world.job("later", **more))
    assert (world.run_of(later) == world.run_of(first), len(world.sent)) == (is_reused, 1 if is_reused else 2)
    assert isinstance(await world.poll(later), Ended if is_reused else Queued)


async def test_who_leaves_a_run_does_not_stop_it_and_the_last_one_does(world: World) -> None:
    one, two = await world.job("one"), await world.job("two")
    assert await world.runs.cancel("", one) is CancelResult.STOPPED, "it has no run yet"
    await world.poll(one)
    await world.poll(two)
    run = world.ledger.rows[world.run_of(one)]
    assert await world.runs.cancel("", one) is CancelResult.STOPPED
    assert CANCEL not in run.signals
    assert await world.runs.cancel("", two) is CancelResult.ASKED
    assert CANCEL in run.signals
    await world.ledger.signal("two", CANCEL)
    assert isinstance(await world.poll(two), Running), "until the provider says what was billed"
    world.end(two, Stage.CANCELLED)
    assert isinstance(await world.poll(two), Ended)
    ended = await world.result(two)
    assert isinstance(ended, RunFailure) and (ended.error.kind, ended.cost) == (RUN_CANCELLED, NOTHING_BILLED)
    world.now += 1
    await world.poll(three := await world.job("three"))
    assert world.run_of(three) != world.run_of(two)


async def test_a_job_that_leaves_too_late_has_the_files(world: World) -> None:
    await world.poll(one := await world.job("one"))
    world.end(one)
    assert await world.runs.cancel("", one) is CancelResult.TOO_LATE
    await world.ledger.signal("one", CANCEL)
    assert isinstance(await world.poll(one), Ended) and isinstance(await world.result(one), Reply)


@pytest.mark.parametrize("code", ["cancelled", "deadline_exceeded", "over_budget"])
async def test_a_run_that_ended_because_of_its_owner_is_run_anew_for_the_others(world: World, code: str) -> None:
    one, two = await world.job("one"), await world.job("two")
    await world.poll(one)
    await world.poll(two)
    before = world.run_of(two)
    world.end(one, *((Stage.CANCELLED,) if code == "cancelled" else (Stage.FAILED, ErrorRecord(code, "too long"))))
    assert isinstance(await world.poll(one), Ended) and isinstance(await world.result(one), RunFailure)
    assert isinstance(await world.poll(two), Queued)
    assert world.run_of(two) != before and len(world.sent) == 2
    world.end(two)
    assert (await world.result(two)).cost == PAID


async def test_a_failed_run_fails_its_jobs_with_its_own_error_and_is_not_reused(world: World) -> None:
    one, two = await world.job("one"), await world.job("two")
    await world.poll(one)
    await world.poll(two)
    world.end(one, Stage.FAILED, ErrorRecord("service_unavailable", "fal is down", "fal", 503))
    for job, cost in ((one, PAID), (two, NOTHING_BILLED)):
        assert isinstance(await world.poll(job), Ended)
        failed = await world.result(job)
        assert isinstance(failed, RunFailure) and failed.cost == cost
        assert (failed.error.code, failed.error.status) == ("service_unavailable", 503)
        assert not isinstance(failed.error, ServiceUnavailableError), "the run has made all attempts"
    await world.poll(three := await world.job("three"))
    assert world.run_of(three) != world.run_of(one)


async def test_a_run_whose_message_was_lost_with_its_owner_is_begun_by_the_next_job(world: World) -> None:
    world.is_away = True
    await world.poll(one := await world.job("one"))
    await world.poll(two := await world.job("two"))
    world.is_away = False
    assert isinstance(await world.poll(two), Queued)
    assert world.run_of(one) == world.run_of(two) in world.ledger.rows
    assert {message["task_id"] for message in world.sent} == {world.run_of(one)}


async def test_a_submission_begins_the_run_and_a_second_one_changes_nothing(world: World) -> None:
    one = await world.job("one")
    call = Call("one", "flux-schnell", {})
    assert await world.runs.submit(call) == await world.runs.submit(call) == one
    assert len(world.sent) == 1 and await world.poll(one) == Queued()
    assert (await world.runs.find(LostSubmission("one", 1, "flux-schnell", {}, 0.0))).ticket == one


async def test_a_job_that_was_asked_to_stop_joins_no_run(world: World) -> None:
    one = await world.job("one")
    row = world.ledger.rows["one"]
    row.job = replace(row.job, receipt=Receipt(world.now, told=True))
    assert isinstance(await world.poll(one), Ended) and world.sent == []
    assert isinstance(await world.result(one), RunFailure)
