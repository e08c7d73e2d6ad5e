"""A job that somebody wants ended, or whose time is over: asks its provider to stop, and says what became of that.

A cancel that comes too late does not throw away what was paid for: the piece is fetched and kept, and the job ends as
cancelled all the same.
"""

from dataclasses import replace

from worker.engine.context import NOW, Bench, Look, Next, cancelled, fail, let_go
from worker.engine.reconcile import booked
from worker.errors import DeadlineExceededError, ExternalServiceError, InternalError
from worker.jobs.job import Job, Receipt, Stage
from worker.money.cost import deadline_s
from worker.providers.base import Stop
from worker.routing.routes import is_possible_duplicate
from worker.testing import crash

STRIKES = 8  # claims in a row that ended without a write: the row itself kills workers
TELL_AGAIN_S, TOLD_WAIT_S = 2.0, 30.0  # a provider out of reach is asked to stop again, for so long
ENDED_WAIT_S = 600.0  # the answer of a run that had ended may take so long to be had
RUNNING_WAIT_S = 10.0  # a run that was asked to stop may go on for so long before we leave it


async def over(bench: Bench, job: Job, look: Look) -> Next | None:
    """The row's next step when it is cancelled, past its deadline, or deadly to workers; None when it goes on."""
    if look.strikes > STRIKES:
        lost = job.stage in {Stage.SUBMITTING, Stage.UNKNOWN}
        error = InternalError("the job ended workers again and again; given up")
        return let_go(fail(booked(bench, job) if lost else job, error, look.now))
    if _has_expired(job, look.now):
        return let_go(cancelled(job, Receipt(look.now, in_time=True), look.now))
    late = job.stage != Stage.SENT and look.now > job.created_at + deadline_s(bench.catalogue, job)
    if not (late or look.is_cancelled):
        return None
    match job.stage:
        case Stage.SENT | Stage.ACCEPTED:  # nothing is out, that we know of
            return _ended(bench, job, look, Receipt(look.now, in_time=None if is_possible_duplicate(job) else True))
        case Stage.UNKNOWN if late:
            return _ended(bench, booked(bench, job), look, Receipt(look.now))
        case Stage.WAITING:
            return await _stop(bench, job, look)
    return None


def stopped(bench: Bench, job: Job, error: ExternalServiceError, look: Look) -> Next | None:
    """The end of a job whose run has ended without a piece after it was asked to stop; None when it was not asked.

    A run that had failed before it was asked was not stopped in time, either.
    """
    if job.receipt is None:
        return None
    in_time = None if error.kind == "not_found" else error.status == 499  # fal's client_cancelled
    return _ended(bench, job, look, replace(job.receipt, in_time=in_time))


def cancelled_instead(job: Job, failed: Job, now: float) -> Job:
    """A job that would fail ends as cancelled when that was asked for: what it is told of is its receipt."""
    may_have_run = any(attempt.was_taken for attempt in job.attempts) or is_possible_duplicate(failed)
    asked_at = job.receipt.asked_at if job.receipt else now
    in_time = None if is_possible_duplicate(failed) else not may_have_run
    return cancelled(replace(failed, stage=job.stage, trouble=None), Receipt(asked_at, told=True, in_time=in_time), now)


def is_stopping(job: Job) -> bool:
    """Whether a run was asked to stop, and its provider has not said what became of it."""
    return job.receipt is not None and job.receipt.in_time is None


async def _stop(bench: Bench, job: Job, look: Look) -> Next | None:
    receipt = job.receipt or Receipt(look.now)
    waited_s = look.now - receipt.asked_at
    if receipt.in_time is False:  # it had ended before: its piece is fetched, unless nobody can get it
        return _ended(bench, job, look, receipt) if waited_s > ENDED_WAIT_S else None
    if receipt.told:
        return _ended(bench, job, look, receipt) if waited_s > RUNNING_WAIT_S else None
    stop = await _ask(bench, job)
    match stop:
        case Stop.STOPPED:
            return _ended(bench, job, look, replace(receipt, told=True, in_time=True))
        case None if waited_s > TOLD_WAIT_S:
            return _ended(bench, job, look, receipt)
        case None:
            return Next(job.move(Stage.WAITING, receipt=receipt), TELL_AGAIN_S, "the provider cannot be told to stop")
    receipt = replace(receipt, told=True, in_time=False if stop is Stop.TOO_LATE else None)
    told = "asked to stop, but it had ended before" if stop is Stop.TOO_LATE else "asked to stop; it may, or may not"
    return Next(job.move(Stage.WAITING, receipt=receipt), NOW, told)


async def _ask(bench: Bench, job: Job) -> Stop | None:
    """What the provider says; None when it cannot be asked."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    crash.point("before_stop")
    try:
        return await bench.provider(attempt.provider).cancel(attempt.endpoint, attempt.ticket)
    except ExternalServiceError:
        return None
    finally:
        crash.point("after_stop")


def _has_expired(job: Job, now: float) -> bool:
    """Whether the caller's `expires` has passed before anything was begun."""
    expires_at = job.message.get("expires_at")
    return expires_at is not None and now > expires_at and not job.attempts


def _ended(bench: Bench, job: Job, look: Look, receipt: Receipt) -> Next:
    if look.is_cancelled:
        return let_go(cancelled(job, receipt, look.now))
    allowed_s = deadline_s(bench.catalogue, job)
    error = DeadlineExceededError(f"the job did not end within its deadline of {allowed_s:g} s")
    return let_go(fail(replace(job, receipt=receipt), error, look.now))
