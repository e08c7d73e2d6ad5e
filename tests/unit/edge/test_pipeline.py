"""A pipeline's function is run again until its steps have ended: each is begun once, and found by its name."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from worker.edge.pipeline import Pipeline, PipelineFunction, replay, step_id
from worker.errors import InternalError, StepFailedError
from worker.jobs.job import ErrorRecord, Job, Options, Stage, Step
from worker.jobs.request import TaskRequest


class Draw(TaskRequest):
    prompt: str = "a kiln"


class Cut(TaskRequest):
    of: str


@dataclass
class Jobs:
    """Jobs in memory. A test ends them."""

    rows: dict[str, Job] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    async def find(self, job_id: str) -> Job | None:
        await asyncio.sleep(0)
        return self.rows.get(job_id)

    async def begin(self, name: str, job_id: str, request: TaskRequest, options: Mapping[str, Any]) -> None:
        await asyncio.sleep(0.001)
        self.begun[name] = self.task_of(request)
        self.rows[job_id] = Job(job_id, "a.task", "q", {}, Step("m", {}, ()), Options(), 0.0, stage=Stage.WAITING)
        self.sent.append(name)

    def task_of(self, request: TaskRequest) -> str:
        return type(request).__name__

    def result_of(self, job: Job) -> Any:
        return dict(job.result or {})

    def end(self, name: str, **result: Any) -> None:
        job_id = step_id("p", name)
        self.rows[job_id] = replace(self.rows[job_id], stage=Stage.CLOSING, ending=Stage.COMPLETED, result=result)

    def fail(self, name: str, ending: Stage = Stage.FAILED, error: ErrorRecord | None = None) -> None:
        job_id = step_id("p", name)
        self.rows[job_id] = replace(self.rows[job_id], stage=Stage.CLOSING, ending=ending, error=error)


async def run(function: PipelineFunction, jobs: Jobs, *, one_by_one: bool = False) -> Mapping[str, Any] | None:
    return await replay(function, None, Pipeline("p", jobs, dict(jobs.begun), one_by_one=one_by_one))


async def two_then_one(request: Any, job: Pipeline) -> Mapping[str, Any]:
    left, right = await asyncio.gather(job.step("left", Draw()), job.step("right", Draw(prompt="another")))
    cut = await job.step("cut", Cut(of=f"{left['n']}{right['n']}"))
    return {"cut": cut["n"], "sum": left["n"] + right["n"]}


async def test_steps_that_need_not_wait_run_at_the_same_time_and_each_is_begun_once() -> None:
    jobs = Jobs()
    assert await run(two_then_one, jobs) is None and jobs.sent == ["left", "right"]
    jobs.end("right", n=2)
    assert await run(two_then_one, jobs) is None and jobs.sent == ["left", "right"]
    jobs.end("left", n=1)
    assert await run(two_then_one, jobs) is None and jobs.sent == ["left", "right", "cut"]
    jobs.end("cut", n=7)
    assert await run(two_then_one, jobs) == {"cut": 7, "sum": 3}
    assert jobs.sent == ["left", "right", "cut"]


async def test_within_a_budget_one_step_runs_at_a_time() -> None:
    jobs = Jobs()
    assert await run(two_then_one, jobs, one_by_one=True) is None and jobs.sent == ["left"]
    assert await run(two_then_one, jobs, one_by_one=True) is None and jobs.sent == ["left"]
    jobs.end("left", n=1)
    assert await run(two_then_one, jobs, one_by_one=True) is None and jobs.sent == ["left", "right"]


async def test_a_failed_step_raises_where_it_is_awaited() -> None:
    jobs = Jobs()
    await run(two_then_one, jobs)
    jobs.fail("left", error=ErrorRecord("content_refused", "not that", "fal", 422))
    with pytest.raises(StepFailedError, match=r"step left failed: not that \(job ") as caught:
        await run(two_then_one, jobs)
    assert (caught.value.provider, caught.value.status, caught.value.kind) == ("fal", 422, "content_refused")


async def test_a_failed_function_still_knows_the_steps_whose_jobs_are_being_read() -> None:
    class Slow(Jobs):
        async def find(self, job_id: str) -> Job | None:
            await asyncio.sleep(0.05 if job_id == step_id("p", "right") else 0)
            return await super().find(job_id)

    async def three(request: Any, job: Pipeline) -> Mapping[str, Any]:
        async def right_then_more() -> None:
            await job.step("right", Draw())
            await job.step("more", Draw())

        await asyncio.gather(job.step("left", Draw()), right_then_more(), job.step("last", Draw()))
        return {}

    jobs = Slow()
    await run(three, jobs)
    jobs.fail("left", error=ErrorRecord("internal", "broken"))
    jobs.end("right")
    pipeline = Pipeline("p", jobs, dict(jobs.begun))
    with pytest.raises(StepFailedError, match="step left failed"):
        await replay(three, None, pipeline)
    assert [name for name, step in pipeline.asked.items() if step.is_running] == ["last"]
    assert pipeline.asked["right"].job and jobs.sent == ["left", "right", "last"], "nothing is begun after a failure"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing waits on"


async def test_a_cancelled_step_says_so() -> None:
    jobs = Jobs()
    await run(two_then_one, jobs)
    jobs.fail("left", Stage.CANCELLED)
    with pytest.raises(StepFailedError, match="step left was cancelled"):
        await run(two_then_one, jobs)


async def test_a_function_may_go_on_after_a_failed_step() -> None:
    async def either(request: Any, job: Pipeline) -> Mapping[str, Any]:
        try:
            return {"by": await job.step("first", Draw())}
        except StepFailedError:
            return {"by": await job.step("second", Draw())}

    jobs = Jobs()
    await run(either, jobs)
    jobs.fail("first", error=ErrorRecord("internal", "broken"))
    assert await run(either, jobs) is None
    jobs.end("second", n=2)
    assert await run(either, jobs) == {"by": {"n": 2}}


async def test_steps_are_found_by_name_when_the_function_has_changed() -> None:
    jobs = Jobs()
    await run(two_then_one, jobs)
    jobs.end("left", n=1)
    jobs.end("right", n=2)

    async def other_order(request: Any, job: Pipeline) -> Mapping[str, Any]:
        right = await job.step("right", Draw())
        fresh = await job.step("fresh", Draw())
        left = await job.step("left", Draw(prompt="changed"))
        return {"left": left["n"], "right": right["n"], "fresh": fresh["n"]}

    assert await run(other_order, jobs) is None and jobs.sent == ["left", "right", "fresh"]
    jobs.end("fresh", n=9)
    assert await run(other_order, jobs) == {"left": 1, "right": 2, "fresh": 9}


async def test_a_step_of_another_task_under_the_same_name_is_not_taken_for_it() -> None:
    jobs = Jobs()
    await run(two_then_one, jobs)

    async def changed(request: Any, job: Pipeline) -> Mapping[str, Any]:
        return {"left": await job.step("left", Cut(of="x"))}

    with pytest.raises(InternalError, match="step left was begun as Draw, and is Cut in this version"):
        await run(changed, jobs)


async def test_a_step_that_is_no_longer_asked_for_fails_the_pipeline() -> None:
    jobs = Jobs()
    await run(two_then_one, jobs)
    jobs.end("left", n=1)

    async def shorter(request: Any, job: Pipeline) -> Mapping[str, Any]:
        return {"left": await job.step("left", Draw())}

    with pytest.raises(InternalError, match="does not ask for: right"):
        await run(shorter, jobs)


@pytest.mark.parametrize("name", ["", "Mask", "a b", "x" * 64, "-a"])
async def test_a_name_has_a_form(name: str) -> None:
    async def badly_named(request: Any, job: Pipeline) -> Mapping[str, Any]:
        return {"x": await job.step(name, Draw())}

    with pytest.raises(InternalError, match="a name has 1 to 63 of"):
        await run(badly_named, Jobs())


async def test_a_name_is_used_once() -> None:
    async def twice(request: Any, job: Pipeline) -> Mapping[str, Any]:
        return {"x": await asyncio.gather(job.step("a", Draw()), job.step("a", Draw()))}

    with pytest.raises(InternalError, match="asked for twice"):
        await run(twice, Jobs())


async def test_a_function_that_waits_for_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.edge.pipeline.ELSE_S", 0.05)

    async def sleeps(request: Any, job: Pipeline) -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(InternalError, match="something that is no step"):
        await run(sleeps, Jobs())


async def test_a_short_wait_for_something_else_is_none() -> None:
    async def brief(request: Any, job: Pipeline) -> Mapping[str, Any]:
        await asyncio.sleep(0.01)
        return {"ok": True}

    assert await run(brief, Jobs()) == {"ok": True}
