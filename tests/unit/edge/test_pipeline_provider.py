"""A pipeline that is asked to stop: no step is begun after that, and the steps before it are paid for."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from worker.edge.pipeline import Pipeline, step_id
from worker.edge.pipeline_provider import NAME, PipelineProvider
from worker.errors import StepFailedError
from worker.jobs.cost import Cost
from worker.jobs.job import Attempt, Job, Options, Receipt, Stage, Step, Ticket
from worker.jobs.request import TaskRequest
from worker.jobs.signals import CANCEL, STEP_BEGUN
from worker.ledger.memory import MemoryLedger
from worker.providers.base import RUN_CANCELLED, CancelResult, Ended, RunFailure, Running

NOW, TICKET = 1_000.0, Ticket("p")
PAID = Cost(0.003, 1, "megapixel", estimated=False, lower_usd=0.003, upper_usd=0.003)


class Draw(TaskRequest):
    prompt: str


class Drawn(BaseModel):
    job_id: str


class Sketch(TaskRequest):
    prompt: str


async def two_steps(request: Sketch, job: Pipeline) -> Mapping[str, Any]:
    await job.step("first", Draw(prompt=request.prompt))
    await job.step("second", Draw(prompt=request.prompt))
    return {}


class App:
    """The tasks that a pipeline asks for, and the ids of the steps that it sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        draw = {"name": "own.draw", "asks": Draw, "gives": Drawn, "judge": lambda *given: None}
        sketch = {"name": "own.sketch", "asks": Sketch, "pipeline": staticmethod(two_steps), "promises": ()}
        self.tasks = {
            "own.draw": SimpleNamespace(**draw, apply_async=lambda **options: self.sent.append(options["task_id"])),
            "own.sketch": SimpleNamespace(**sketch),
        }


@pytest.fixture
def app() -> Any:
    return App()


@pytest.fixture
async def ledger() -> MemoryLedger:
    ledger = MemoryLedger(lambda: NOW)
    attempt = Attempt(1, NAME, "own.sketch", NOW, ticket=TICKET)
    model = Step("pipeline:own.sketch", {}, ())
    job = Job("p", "own.sketch", "own", {"prompt": "a kiln"}, model, Options(), NOW)
    await ledger.accept(job)
    ledger.rows["p"].job = replace(job, stage=Stage.WAITING, attempts=(attempt,))
    return ledger


async def first_step_ended(ledger: MemoryLedger, ending: Stage = Stage.COMPLETED) -> None:
    """The first step was begun, and has ended; it was paid for."""
    attempt = Attempt(1, "fal", "fal-ai/flux", NOW, ticket=Ticket("r"), cost=PAID, ended_at=NOW)
    result = {"job_id": "s"}
    step = Job(step_id("p", "first"), "own.draw", "own", {}, Step("m", {}, ()), Options(), NOW)
    await ledger.accept(step)
    ledger.rows[step.id].job = replace(step, stage=ending, ending=ending, attempts=(attempt,), result=result)
    await ledger.signal("p", f"{STEP_BEGUN}first", "own.draw")


async def test_a_pipeline_without_a_step_stops_at_once(app: Any, ledger: MemoryLedger) -> None:
    assert await PipelineProvider(app, ledger).cancel("own.sketch", TICKET) is CancelResult.STOPPED


async def test_a_pipeline_that_goes_on_begins_its_next_step(app: Any, ledger: MemoryLedger) -> None:
    assert isinstance(await PipelineProvider(app, ledger).poll("own.sketch", TICKET), Running)
    assert app.sent == [step_id("p", "first")]


@pytest.mark.parametrize("asked_by", ["a cancel", "its deadline"])
async def test_a_pipeline_that_was_asked_to_stop_begins_no_step_and_costs_what_its_steps_did(
    app: Any, ledger: MemoryLedger, asked_by: str
) -> None:
    provider = PipelineProvider(app, ledger)
    await first_step_ended(ledger)
    if asked_by == "a cancel":
        await ledger.signal("p", CANCEL)
    else:
        row = ledger.rows["p"]
        row.job = replace(row.job, receipt=Receipt(NOW, told=True))
    assert await provider.cancel("own.sketch", TICKET) is CancelResult.ASKED, "its first step was paid for"
    assert isinstance(await provider.poll("own.sketch", TICKET), Ended)
    outcome = await provider.result("own.sketch", TICKET)
    assert isinstance(outcome, RunFailure) and isinstance(outcome.error, StepFailedError)
    assert outcome.error.kind == RUN_CANCELLED and "step second was not begun" in outcome.error.message
    assert outcome.cost is not None and outcome.cost.usd == 0.003 and app.sent == []


@pytest.mark.parametrize(("max_usd", "left"), [(0.003, 1e-9), (0.01, 0.007)])
async def test_a_step_may_cost_what_is_left_and_a_free_one_follows_also_when_nothing_is(
    app: Any, ledger: MemoryLedger, max_usd: float, left: float
) -> None:
    given: list[float] = []
    app.tasks["own.draw"].judge = lambda args, fields, before: given.append(fields["max_usd"])
    await first_step_ended(ledger)
    ledger.rows["p"].job = replace(ledger.rows["p"].job, options=Options(max_usd=max_usd, provider="fal"))
    assert isinstance(await PipelineProvider(app, ledger).poll("own.sketch", TICKET), Running)
    assert given == [pytest.approx(left)] and app.sent == [step_id("p", "second")]
