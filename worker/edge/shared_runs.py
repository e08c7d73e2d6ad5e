"""Jobs with `reuse_s`: the provider `shared`, whose run is another job, which all equal requests have in common.

The run is a job of its own, as a pipeline's step is: the first of these jobs begins it, and pays. The others join it
while it is under way, or take its files once it has ended. A job that is cancelled leaves its run; the last one that
leaves cancels it.

The ledger has a pointer for each name of equal requests, to their newest run. It is moved by comparing, so two jobs
that come at the same time begin one run. A run that was cancelled, has failed, or is too old is replaced by a new one.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic_core import to_json

from config.catalogue import SHARED, Catalogue
from worker.edge.equal_requests import file_names, request_name
from worker.edge.message import STEP_OF_HEADER, step_of
from worker.edge.pipeline import step_id
from worker.edge.pipeline_provider import away_is_unavailable, handed_on
from worker.errors import (
    DeadlineExceededError,
    ExternalServiceError,
    InternalError,
    OverBudgetError,
    ServiceUnavailableError,
    StepFailedError,
)
from worker.files.inputs import InputFiles
from worker.jobs.cost import NOTHING_BILLED, Cost
from worker.jobs.file_arguments import file_arguments, recorded_files
from worker.jobs.file_keys import days_of
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import ErrorRecord, Job, Stage, Ticket
from worker.jobs.signals import CANCEL, JOINED, LEFT, RUN_OF
from worker.jobs.status import VALUES
from worker.jobs.total_cost import total_cost
from worker.ledger.base import Ledger, Row
from worker.providers.base import (
    RUN_CANCELLED,
    Call,
    CancelResult,
    Ended,
    ListPrice,
    LostSubmission,
    Queued,
    Reply,
    RunFailure,
    Running,
    RunStatus,
    SearchResult,
)
from worker.testing import crash

NAME, RUN = "shared", "run"
NOTE_S = 86_400.0  # how long the cancel of a run without a row is noted
MOVES = 5  # of a pointer in one look; others move it, too
AT_ONCE = 2  # jobs whose pictures are fetched to be compared
_HANDED_ON = ("tenant", "labels", "priority", "provider", "providers", "fallback", "allow_degraded",
              "fallback_on_policy", "max_queue_s", "duplicates", "max_usd")  # fmt: skip
_OF_ITS_OWNER = frozenset({DeadlineExceededError.code, OverBudgetError.code})  # errors that another job need not have
_OWN = frozenset(
    {"job_id", "cost", "total_cost", "timings", "attempts", "possible_duplicate", "tenant", "labels", "reused_from"}
)  # fields of a result that are of the job, and not of its run


@dataclass(frozen=True)
class Reuse:
    """What the provider knows beside the ledger. `longest_s`: as long as URLs work, which a reused answer may have."""

    catalogue: Catalogue
    inputs: InputFiles | None
    owners: FileOwners
    longest_s: float
    keep_s: float  # how long a pointer is kept


class SharedRuns:
    """See `worker.providers.base.Provider`."""

    name = NAME
    call_s = 120.0  # its pictures are fetched
    lists_requests = True
    result_bytes = 0

    def __init__(self, app: Celery, ledger: Ledger, reuse: Reuse) -> None:
        self._app, self._ledger, self._reuse = app, ledger, reuse
        self._turns = asyncio.Semaphore(AT_ONCE)

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """Nothing: the run is a job of its own."""
        return 0

    async def submit(self, call: Call) -> Ticket:
        """Join a run, or begin it. The ticket is the job's own id; the signal that names the run brings a poll now."""
        row = await self._row(call.job_id)
        if RUN_OF not in row.signals:
            await self._join(row, None)
        return Ticket(call.job_id)

    async def upload(self, media: Any) -> str:
        """Never called: the run has the files."""
        raise InternalError("a job that shares a run uploads no files")

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """The status of the run. A job whose submission was lost, or whose run is of no use, joins one."""
        row = await self._row(ticket.request_id)
        run_id = row.signals.get(RUN_OF)
        run = await self._find(run_id) if run_id else None
        if _is_stopping(row):
            return Running() if run and run.ending is None else Ended()
        if run_id is None or (run and _must_run_anew(run, row.job)):
            run = await self._join(row, run_id)
        elif run is None:
            await self._begin(row.job, run_id)
        if run is None:
            return Queued()
        lines = (f"the run is job {run.id}", *run.observed.logs)
        if run.ending is not None:
            return Ended(lines)
        return Running(lines) if run.observed.running else Queued(run.observed.queue_position)

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """The files, values and provenance of the run. Only the job that has begun it pays."""
        row = await self._row(ticket.request_id)
        run = await self._find(row.signals.get(RUN_OF, ""))
        if run is None or run.ending is Stage.CANCELLED:
            cancelled = ErrorRecord(StepFailedError.code, "the run was cancelled", kind=RUN_CANCELLED)
            return RunFailure(_error(cancelled), cost=_cost(run, row.job))
        if run.ending is None:
            raise ServiceUnavailableError("the run has not ended", provider=NAME)
        if run.ending is Stage.FAILED:
            failed = run.error or ErrorRecord(InternalError.code, "the run failed")
            return RunFailure(_error(failed), cost=_cost(run, row.job))
        files = {artefact.name for artefact in run.artefacts}
        values = {name: value for name, value in (run.result or {}).items() if name not in _OWN | files}
        values["reused_from"] = None if _owner(run) == row.job.id else run.id
        return Reply({VALUES: values}, stored=run.artefacts, cost=_cost(run, row.job))

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Leave the run. The last job that leaves it cancels it."""
        row = await self._row(ticket.request_id)
        run_id = row.signals.get(RUN_OF)
        if run_id is None:
            return CancelResult.STOPPED
        with away_is_unavailable():
            await self._ledger.signal(run_id, f"{LEFT}{row.job.id}")
            run = await self._ledger.row(run_id)
            if run and run.job.ending is not None:
                return CancelResult.TOO_LATE
            if run and jobs_of(run):
                return CancelResult.STOPPED
            await self._ledger.cancel(run_id, NOTE_S)
        return CancelResult.ASKED

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket of a job."""
        return Ticket(request_id)

    async def find(self, lost: LostSubmission) -> SearchResult:
        """What a lost submission has not done, the next poll does."""
        return SearchResult(Ticket(lost.job_id))

    def list_price(self, endpoint: str) -> ListPrice | None:
        """None: the run has a price."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _join(self, row: Row, seen: str | None) -> Job | None:
        """The run that this job has a part in from now on; None if it has no row yet. `seen`: one of no use."""
        async with self._turns:
            name = await self._name(row.job)
        mine = step_id(row.job.id, f"run-after-{seen}" if seen else RUN)
        with away_is_unavailable():
            for _ in range(MOVES):
                run_id = await self._ledger.point(name, mine, seen or "", self._reuse.keep_s)
                run = await self._ledger.get(run_id)
                if run is None or await self._is_usable(run, row.job):
                    break
                seen = run_id
            else:
                raise ServiceUnavailableError("others begin and end equal runs at the same time", provider=NAME)
            if run is None:
                await self._begin(row.job, run_id)
            await self._ledger.signal(run_id, f"{JOINED}{row.job.id}")
            await self._ledger.signal(row.job.id, RUN_OF, run_id)
        crash.point("after_run_joined")
        return run

    async def _is_usable(self, run: Job, job: Job) -> bool:
        """Whether the run is under way, or has ended well within the job's `reuse_s`, and its files are still there."""
        if run.ending is None:
            return True
        days = [kept for artefact in run.artefacts if (kept := days_of(artefact.key))]
        longest_s = min([job.options.reuse_s or 0.0, self._reuse.longest_s, *(each * 86400.0 for each in days)])
        age_s = await self._ledger.ping() - (run.closed_at or 0.0)
        return run.ending is Stage.COMPLETED and age_s <= longest_s

    async def _name(self, job: Job) -> str:
        """The name of all requests that equal the job's. Its pictures are fetched for it."""
        task = self._app.tasks[job.task]
        request = task.asks.model_validate_json(to_json(job.request))
        model = self._reuse.catalogue.find_for(job.task, job.step.model.removeprefix(SHARED))
        step = task.order(request, model)
        step = step if step.files is not None else replace(step, files=recorded_files(request, step.arguments))
        files = await file_names(file_arguments(step), self._reuse.inputs, self._reuse.owners, job.options.tenant)
        fields = {**request.model_dump(mode="json"), "model": model.name}
        return request_name(job.task, fields, files, job.options)

    async def _begin(self, job: Job, run_id: str) -> None:
        """Send the job of the run. Safe to repeat, and by others: a job has one row."""
        given = {**job.request, **handed_on(job.options, _HANDED_ON)}
        headers = {STEP_OF_HEADER: [job.id, RUN]}
        task = self._app.tasks[job.task]
        send = partial(task.apply_async, kwargs=given, task_id=run_id, queue=job.queue, headers=headers)
        try:
            await asyncio.to_thread(send)
        except OperationalError as error:
            raise ServiceUnavailableError("the run cannot be sent now", provider=NAME) from error
        crash.point("after_run_sent")

    async def _find(self, run_id: str) -> Job | None:
        with away_is_unavailable():
            return await self._ledger.get(run_id)

    async def _row(self, job_id: str) -> Row:
        with away_is_unavailable():
            row = await self._ledger.row(job_id)
        if row is None:
            raise ServiceUnavailableError("the job's row is gone", provider=NAME)
        return row


def _is_stopping(row: Row) -> bool:
    """Whether the job was cancelled, or is past its deadline."""
    return CANCEL in row.signals or row.job.receipt is not None


def _owner(run: Job) -> str:
    """The job that has sent the run."""
    step = step_of(run)
    return step[0] if step else ""


def _must_run_anew(run: Job, job: Job) -> bool:
    """Whether the run has ended without a piece for a reason that only the job that has sent it had."""
    is_of_owner = run.ending is Stage.CANCELLED or (run.error is not None and run.error.code in _OF_ITS_OWNER)
    return is_of_owner and _owner(run) != job.id


def jobs_of(run: Row) -> set[str]:
    """The jobs that have joined a run and not left it."""
    joined, left = (
        {name.removeprefix(sign) for name in run.signals if name.startswith(sign)} for sign in (JOINED, LEFT)
    )
    return joined - left


def _cost(run: Job | None, job: Job) -> Cost:
    return total_cost(run) if run and _owner(run) == job.id else NOTHING_BILLED


def _error(record: ErrorRecord) -> ExternalServiceError:
    """The run's error, of the class that ends the job at once: the run has made all attempts."""
    error = ExternalServiceError(record.message, provider=record.provider, status=record.status, kind=record.kind)
    error.code = record.code
    return error
