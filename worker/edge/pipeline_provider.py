"""The provider of tasks that are made of steps: a poll runs the task's function, a cancel cancels its steps.

It needs Celery's tasks and the ledger, so it is here and not among the other providers. Nothing of it costs money.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic_core import to_json
from redis.exceptions import RedisError

from worker.edge.job_task import catalogue
from worker.edge.message import STEP_OF_HEADER
from worker.edge.pipeline import AskedStep, Pipeline, PipelineFunction, begun_steps, replay, step_id
from worker.edge.step_options import providers_for
from worker.errors import (
    InternalError,
    InvalidRequestError,
    KilnhandError,
    OverBudgetError,
    ServiceUnavailableError,
    StepFailedError,
)
from worker.jobs.cost import sum_of
from worker.jobs.job import Artefact, Job, Options, Piece, Stage, Ticket
from worker.jobs.request import TaskRequest
from worker.jobs.signals import CANCEL, STEP_BEGUN
from worker.jobs.status import VALUES, FileOut, state_of
from worker.jobs.total_cost import total_cost
from worker.ledger.base import Ledger, Row
from worker.money.budget import ROUNDING_USD
from worker.providers.base import (
    RUN_CANCELLED,
    Call,
    CancelResult,
    Ended,
    ListPrice,
    LostSubmission,
    Reply,
    RunFailure,
    Running,
    RunStatus,
    SearchResult,
)
from worker.testing import crash

NAME = "pipeline"
NOTE_S = 86_400.0  # how long the cancel of a step without a row is noted
_HANDED_ON = ("tenant", "labels", "priority", "fallback", "allow_degraded", "fallback_on_policy", "max_queue_s",
              "duplicates", "reuse_s")  # fmt: skip  # options of a pipeline that its steps have, too


class PipelineProvider:
    """See `worker.providers.base.Provider`."""

    name = NAME
    call_s = 10.0
    lists_requests = True
    result_bytes = 0

    def __init__(self, app: Celery, ledger: Ledger) -> None:
        self._app, self._ledger = app, ledger

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """Nothing: the steps are jobs of their own."""
        return 0

    async def submit(self, call: Call) -> Ticket:
        """The ticket is the job's own id: a run is nothing but its steps."""
        return Ticket(call.job_id)

    async def upload(self, media: Any) -> str:
        """Never called: a pipeline hands its files on to its steps."""
        raise InternalError("a pipeline uploads no files")

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """Run the function, and begin the steps that may begin. If it has failed, the other steps are cancelled."""
        pipeline, outcome = await self._run(ticket.request_id)
        running = [step for step in pipeline.asked.values() if step.is_running]
        if isinstance(outcome, StepFailedError) and running:
            await self._stop([step_id(ticket.request_id, step.name) for step in running])
            return Running(lines_of(pipeline))
        return Running(lines_of(pipeline)) if outcome is None else Ended(lines_of(pipeline))

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """What the function has returned: files of its steps, and values."""
        pipeline, outcome = await self._run(ticket.request_id)
        if outcome is None:
            raise ServiceUnavailableError("a step has not ended", provider=NAME)
        cost = sum_of(total_cost(step.job) for step in pipeline.asked.values() if step.job)
        if isinstance(outcome, StepFailedError):
            return RunFailure(outcome, cost=cost)
        stored, values = split_output(outcome, self._app.tasks[endpoint].promises)
        return Reply({VALUES: values}, stored=stored, cost=cost)

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Cancel the steps that have not ended. Only a pipeline without any step has cost nothing."""
        row = await self._row(ticket.request_id)
        begun = [step_id(row.job.id, name) for name in begun_steps(row.signals)]
        await self._stop(begun)
        return CancelResult.ASKED if begun else CancelResult.STOPPED

    async def _stop(self, ids: Sequence[str]) -> None:
        """Cancel those of these jobs that have not ended."""
        with away_is_unavailable():
            found = [await self._ledger.get(job_id) for job_id in ids]
            running = [job_id for job_id, job in zip(ids, found, strict=True) if job is None or job.ending is None]
            for job_id in running:
                await self._ledger.cancel(job_id, NOTE_S)

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket of a job."""
        return Ticket(request_id)

    async def find(self, lost: LostSubmission) -> SearchResult:
        """A submission is never lost: it writes nothing."""
        return SearchResult(Ticket(lost.job_id))

    def list_price(self, endpoint: str) -> ListPrice | None:
        """None: the steps have prices."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _run(self, job_id: str) -> tuple[Pipeline, Mapping[str, Any] | StepFailedError | None]:
        """The pipeline after a run of its function, and what that returned: a result, an error, or None."""
        row = await self._row(job_id)
        task = self._app.tasks.get(row.job.task)
        function: PipelineFunction | None = getattr(task, "pipeline", None)
        if task is None or function is None:
            raise ServiceUnavailableError(f"this worker has no pipeline {row.job.task}", provider=NAME)
        jobs = _Steps(self._app, self._ledger, row)
        is_limited = row.job.options.max_usd is not None
        pipeline = Pipeline(job_id, jobs, begun_steps(row.signals), one_by_one=is_limited)
        request = task.asks.model_validate_json(to_json(row.job.request))
        try:
            return pipeline, await replay(function, request, pipeline)
        except ServiceUnavailableError:
            raise
        except StepFailedError as error:
            return pipeline, error
        except KilnhandError as error:
            return pipeline, StepFailedError(error.message, provider=NAME, kind=error.code)

    async def _row(self, job_id: str) -> Row:
        with away_is_unavailable():
            row = await self._ledger.row(job_id)
        if row is None:
            raise ServiceUnavailableError("the pipeline's row is gone", provider=NAME)
        return row


class _Steps:
    """See `worker.edge.pipeline.StepJobs`."""

    def __init__(self, app: Celery, ledger: Ledger, row: Row) -> None:
        self._app, self._ledger, self._row = app, ledger, row
        self._found = dict[str, Job]()

    async def find(self, job_id: str) -> Job | None:
        with away_is_unavailable():
            job = await self._ledger.get(job_id)
        if job:
            self._found[job_id] = job
        return job

    async def begin(self, name: str, job_id: str, request: TaskRequest, options: Mapping[str, Any]) -> None:
        task, pipeline = self._app.tasks[self.task_of(request)], self._row.job
        if CANCEL in self._row.signals or pipeline.receipt:  # a receipt alone: its deadline has passed
            raise StepFailedError(f"step {name} was not begun: its pipeline was asked to stop", kind=RUN_CANCELLED)
        handed_on = self._options()
        if not {"provider", "providers"} & options.keys():
            handed_on |= providers_for(catalogue(), task.name, request, pipeline.options)
        given = {**request.model_dump(mode="json", exclude_unset=True), **handed_on, **options}
        try:
            task.judge((), given, "nothing")
        except InvalidRequestError as error:
            raise StepFailedError(f"step {name} was refused: {error.message}", kind=error.code) from error
        with away_is_unavailable():
            await self._ledger.signal(pipeline.id, f"{STEP_BEGUN}{name}", task.name)
        crash.point("after_step_noted")
        headers = {STEP_OF_HEADER: [pipeline.id, name]}
        send = partial(task.apply_async, kwargs=given, task_id=job_id, headers=headers)
        try:
            await asyncio.to_thread(send)
        except OperationalError as error:
            raise ServiceUnavailableError(f"step {name} cannot be sent now", provider=NAME) from error
        crash.point("after_step_sent")

    def task_of(self, request: TaskRequest) -> str:
        asked = type(request)
        names = [name for name, task in self._app.tasks.items() if getattr(task, "asks", None) is asked]
        if len(names) != 1:
            raise InternalError(f"{asked.__name__} is the request of {len(names)} tasks: {', '.join(names)}")
        return str(names[0])

    def result_of(self, job: Job) -> Any:
        return self._app.tasks[job.task].gives.model_validate(job.result)

    def _options(self) -> dict[str, Any]:
        """The options that a step takes from its pipeline: what is left of its budget, too."""
        given = self._row.job.options
        options = handed_on(given, _HANDED_ON)
        if given.max_usd is not None:
            spent = sum_of(total_cost(job) for job in self._found.values()).upper_usd
            left = None if spent is None else given.max_usd - spent
            if left is None or left < -ROUNDING_USD:
                raise OverBudgetError(
                    f"the steps so far may cost more than the pipeline's max_usd of {given.max_usd:g}"
                )
            options["max_usd"] = max(left, ROUNDING_USD)  # a step that costs nothing may follow
        return options


def lines_of(pipeline: Pipeline) -> tuple[str, ...]:
    """The steps for the pipeline's status, one line each, and how many of them have ended.

    The line of a step that is done has the keys of its files: they can be used before the pipeline ends.
    """
    steps = list(pipeline.asked.values())
    ended = sum(step.job is not None and step.job.ending is not None for step in steps)
    return (*(_line(step) for step in steps), f"{ended}/{len(steps)} steps have ended")


def split_output(output: Mapping[str, Any], promises: Sequence[Piece]) -> tuple[tuple[Artefact, ...], dict[str, Any]]:
    """The files that a pipeline promises, as artefacts, and its other values."""
    stored = list[Artefact]()
    for piece in promises:
        given = output.get(piece.name)
        files = given if isinstance(given, list) else [given]
        stored += [_artefact(piece, FileOut.model_validate(file, from_attributes=True)) for file in files]
    names = {piece.name for piece in promises}
    values = {name: value for name, value in output.items() if name not in names}
    return tuple(stored), json.loads(to_json(values))


def _artefact(piece: Piece, file: FileOut) -> Artefact:
    own = {each.name for each in fields(Artefact)}  # a result has URLs, too, which an artefact gets when it is shown
    return Artefact(name=piece.name, kind=piece.kind, **file.model_dump(include=own))


def _line(step: AskedStep) -> str:
    if step.job is None:
        return f"{step.name}: waits"
    job = step.job
    told = state_of(job).lower().replace("_", " ")
    done = f", {job.observed.progress:.0%}" if job.ending is None and job.observed.progress else ""
    where = f" at {job.attempts[-1].provider}" if job.attempts else ""
    is_done = job.ending is Stage.COMPLETED
    keys = "".join(f" {artefact.key}" for artefact in job.artefacts) if is_done else ""
    said = f": {job.observed.logs[-1][:200]}" if job.ending is None and job.observed.logs else ""
    return f"{step.name}: {told}{done}{where} ({job.task}, job {job.id}){keys}{said}"


def handed_on(given: Options, names: Sequence[str]) -> dict[str, Any]:
    """Those of these options that a job has, for the jobs that it sends."""
    usual = Options()
    return {name: getattr(given, name) for name in names if getattr(given, name) != getattr(usual, name)}


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """A ledger that is away is a provider that is away: the pipeline is polled again."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise ServiceUnavailableError(f"the ledger is away ({type(error).__name__})", provider=NAME) from error
