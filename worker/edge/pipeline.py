"""A task made of steps: its function is run again from the top at each look, until every step has ended.

A step is a job of its own, whose id follows from the pipeline's id and the step's name. So whatever dies meanwhile, a
step is begun once and paid for once, and a step that has ended gives its recorded result. A step whose job has not
ended blocks the function there; when nothing else of it can go on, the function is dropped until the next look.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid5

from worker.errors import InternalError, KilnhandError, StepFailedError
from worker.jobs.job import Job, Stage
from worker.jobs.request import TaskRequest
from worker.jobs.signals import STEP_BEGUN
from worker.ledger.base import Row
from worker.providers.base import RUN_CANCELLED

TURNS = 50  # turns of the event loop in which a function has gone on after a step's result, if it goes on at all
ELSE_S = 5.0  # how long a function may wait for something that is no step
_STEPS = UUID("6f1d3a52-1c52-4a5e-9d0b-6f0d5f6f3b7e")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

PipelineFunction = Callable[[Any, "Pipeline"], Awaitable[Mapping[str, Any]]]


def step_id(job_id: str, name: str) -> str:
    """The id of a step's job."""
    return str(uuid5(_STEPS, f"{job_id}:{name}"))


def begun_steps(signals: Mapping[str, str]) -> dict[str, str]:
    """The steps that a pipeline's row knows: name -> task."""
    return {name.removeprefix(STEP_BEGUN): task for name, task in signals.items() if name.startswith(STEP_BEGUN)}


def step_names(row: Row) -> set[str]:
    """The steps that a pipeline has begun. A row that has ended has no signals; its history has the newest steps."""
    heard = [entry.text for entry in row.job.history if entry.what == "heard" and entry.text.startswith(STEP_BEGUN)]
    return {*begun_steps(row.signals), *(text.removeprefix(STEP_BEGUN) for text in heard)}


@dataclass(frozen=True)
class AskedStep:
    """A step that the function has asked for. A step that waits for its turn, or was refused, is not begun."""

    name: str
    task: str
    is_begun: bool = False
    job: Job | None = None  # as it was before this run of the function

    @property
    def is_running(self) -> bool:
        """Whether its job has not ended."""
        return self.is_begun and (self.job is None or self.job.ending is None)


class StepJobs(Protocol):
    """The jobs of a pipeline's steps."""

    async def find(self, job_id: str) -> Job | None:
        """The job of a step; None if it has no row yet."""

    async def begin(self, name: str, job_id: str, request: TaskRequest, options: Mapping[str, Any]) -> None:
        """Note that the step is begun, then send its job. Safe to repeat.

        Raises `InvalidRequestError` when the step's task refuses the request.
        """

    def task_of(self, request: TaskRequest) -> str:
        """The name of the task that such a request asks. Raises `InternalError` if there is none."""

    def result_of(self, job: Job) -> Any:
        """The result of a completed step, as its task's result type."""


@dataclass
class Pipeline:
    """What the function of a task made of steps is given as `job`: its id, and `step`.

    The function must ask for the same steps each time it is run: it reads no clock, draws no random numbers and awaits
    nothing but steps. Steps that need not wait for each other are awaited together, with `asyncio.gather`.
    """

    id: str
    jobs: StepJobs
    begun: Mapping[str, str]  # the steps that were begun before: name -> task
    one_by_one: bool = False  # begin no step while another one runs
    asked: dict[str, AskedStep] = field(default_factory=dict)
    _busy: int = 0
    _running: int = 0
    _is_over: bool = False
    _parked: list["asyncio.Future[None]"] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def step(self, name: str, request: TaskRequest, **options: Any) -> Any:
        """The result of this step. `options` are those that every task takes, such as `provider`.

        A name is used once in a pipeline, and says what the step is for: a pipeline that is under way while its
        function is changed finds its steps by their names. Raises `StepFailedError` when the step's job failed.
        """
        self._begin_call()
        try:
            job = await self._job(name, request, options)
        finally:
            self._end_call()
        if job is None or job.ending is None:
            self._parked.append(asyncio.get_running_loop().create_future())
            await self._parked[-1]  # `replay` drops the function here
        assert job is not None  # noqa: S101
        if job.ending is Stage.COMPLETED:
            return self.jobs.result_of(job)
        raise _failure(name, job)

    @property
    def unasked(self) -> list[str]:
        """The steps that were begun before, and that the function has not asked for."""
        return [name for name in self.begun if name not in self.asked]

    async def _job(self, name: str, request: TaskRequest, options: Mapping[str, Any]) -> Job | None:
        task, known = self.jobs.task_of(request), self.begun.get(name)
        if not _NAME.fullmatch(name):
            raise InternalError(f"step {name!r}: a name has 1 to 63 of a-z, 0-9, _, . and -")
        if name in self.asked:
            raise InternalError(f"step {name} is asked for twice")
        if known not in {None, task}:
            raise InternalError(f"step {name} was begun as {known}, and is {task} in this version of the pipeline")
        self.asked[name] = AskedStep(name, task)
        async with self._turn:
            job = await self.jobs.find(step_id(self.id, name))
            may_begin = not (self._is_over or (self.one_by_one and self._running))
            if job is None and may_begin:
                await self.jobs.begin(name, step_id(self.id, name), request, options)
            self._running += job.ending is None if job else may_begin
            self.asked[name] = AskedStep(name, task, job is not None or may_begin, job)
        return job

    def _begin_call(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _end_call(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def parks(self, function: "asyncio.Future[Any]") -> bool:
        """Whether the function is blocked by steps that have not ended; False once it has ended.

        A function that has failed at one step may have asked for others whose jobs are still being read. They are
        waited for, so that every running step is known: its cost counts, and it is cancelled. Raises `InternalError`
        when the function waits for something else.
        """
        self._idle.set()
        while not function.done():
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait({function, idle}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if function.done() or not self._idle.is_set():
                continue
            if self._parked:
                return True
            await asyncio.wait({function}, timeout=ELSE_S)
            if not function.done() and self._idle.is_set() and not self._parked:
                raise InternalError(f"the pipeline waits for something that is no step for more than {ELSE_S:g} s")
        self._is_over = True  # nothing more is begun
        while not self._idle.is_set():
            await self._idle.wait()
            for _ in range(TURNS):
                await asyncio.sleep(0)
        return False

    def drop(self) -> None:
        """End what still waits for a step."""
        for each in self._parked:
            each.cancel()


async def replay(function: PipelineFunction, request: Any, pipeline: Pipeline) -> Mapping[str, Any] | None:
    """What the function returns; None when it waits for steps. Raises its errors."""
    running = asyncio.ensure_future(function(request, pipeline))
    try:
        if await pipeline.parks(running):
            return None
        output = await running
    finally:
        running.cancel()
        pipeline.drop()
        await asyncio.gather(running, return_exceptions=True)
    if pipeline.unasked:
        names = ", ".join(pipeline.unasked)
        raise InternalError(f"steps were begun that this version of the pipeline does not ask for: {names}")
    return output


def _failure(name: str, job: Job) -> KilnhandError:
    if job.ending is Stage.CANCELLED or job.error is None:
        return StepFailedError(f"step {name} was cancelled (job {job.id})", kind=RUN_CANCELLED)
    provider, status = job.error.provider, job.error.status
    text = f"step {name} failed: {job.error.message} (job {job.id})"
    return StepFailedError(text, provider=provider, status=status, kind=job.error.code)
