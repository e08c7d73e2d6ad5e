"""Cancels and deadlines: asks the provider to stop, and says what became of that in a receipt.

A cancel that comes too late does not throw away what was paid for: the piece is fetched and kept, and the job ends as
cancelled all the same.
"""

from dataclasses import replace
from typing import assert_never

from worker.engine.context import NOW, Context, StepInput, Transition
from worker.engine.endings import cancel, close, fail
from worker.engine.late_news import book_lost_call, has_late_news, taken_before
from worker.errors import DeadlineExceededError, ExternalServiceError, InternalError
from worker.jobs.cost import NOTHING_BILLED
from worker.jobs.job import Job, Receipt, Stage
from worker.providers.base import RUN_CANCELLED, CancelResult
from worker.routing.retry import CANCEL_AGAIN_S, CANCEL_FOR_S, is_possible_duplicate
from worker.testing import crash

STRIKES = 8  # claims in a row that ended without a write: the row itself kills workers
CLAIMS_ENDED = "claims ended without a write: the worker's process died or hung each time, at stage"
LOOK_FOR = "look for how it ended (out of memory, a crash), and for the job's id in its log"
ENDED_WAIT_S = 30.0  # how long the answer of a run that had ended is waited for
RUNNING_WAIT_S = 10.0  # how long a run that was asked to stop is waited for


async def end_if_due(context: Context, job: Job, step_input: StepInput) -> Transition | None:
    """The next step of a row that is cancelled, past its deadline, or kills workers; None when it goes on."""
    if step_input.strikes > STRIKES:
        is_lost = job.stage in {Stage.SUBMITTING, Stage.UNKNOWN}
        error = InternalError(f"{step_input.strikes} {CLAIMS_ENDED} {job.stage}; {LOOK_FOR}")
        return close(fail(book_lost_call(context, job, step_input) if is_lost else job, error, step_input.now))
    if _has_expired(job, step_input.now):
        return close(cancel(job, Receipt(step_input.now, in_time=True), step_input.now))
    late = is_late(job, step_input)
    if not (late or step_input.is_cancelled):
        return None
    match job.stage:
        case Stage.ACCEPTED if has_late_news(job, step_input) or taken_before(job):  # it runs, though it was refused
            return None
        case Stage.SENT | Stage.ACCEPTED:  # nothing is submitted, as far as we know
            in_time = None if is_possible_duplicate(job) else True
            return end_at_once(job, step_input, Receipt(step_input.now, in_time=in_time))
        case Stage.UNKNOWN:
            if not late:  # a cancel waits until the submission is found, or given up
                return None
            return end_at_once(book_lost_call(context, job, step_input), step_input, Receipt(step_input.now))
        case Stage.WAITING:
            return await _stop_run(context, job, step_input)
        case Stage.SUBMITTING | Stage.FETCHED | Stage.STORED:  # seen through: the money is spent, or may be
            return None
        case Stage.CLOSING | Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            return None
        case _:
            assert_never(job.stage)


def is_late(job: Job, step_input: StepInput) -> bool:
    """Whether the job's deadline has passed. A job that no worker has accepted has none."""
    return job.stage != Stage.SENT and step_input.now > job.created_at + step_input.served.deadline_s


def end_if_over(job: Job, step_input: StepInput) -> Transition | None:
    """The end of a job whose piece could not be brought after its cancel or its deadline; None for any other."""
    if not (step_input.is_cancelled or is_late(job, step_input)):
        return None
    return end_at_once(job, step_input, replace(job.receipt or Receipt(step_input.now, told=True), in_time=False))


def stop_failed(job: Job, step_input: StepInput) -> Transition:
    """What follows when a run took too long to stop, or its answer too long to come after that."""
    receipt = job.receipt or Receipt(step_input.now)
    if receipt.told or step_input.now - receipt.asked_at > CANCEL_FOR_S:
        return end_at_once(job, step_input, receipt)
    return Transition(job.move(Stage.WAITING, receipt=receipt), CANCEL_AGAIN_S, "the provider cannot be told to stop")


def end_after_cancel(job: Job, error: ExternalServiceError, step_input: StepInput) -> Transition | None:
    """The end of a job whose run ended without a piece after it was asked to stop; None when it was not asked.

    A run that had failed before it was asked was not stopped in time, either.
    """
    if job.receipt is None:
        return None
    in_time = None if error.kind == "not_found" else error.kind == RUN_CANCELLED
    return end_at_once(job, step_input, replace(job.receipt, in_time=in_time))


def cancelled_instead(job: Job, failed: Job, now: float) -> Job:
    """A job that would fail ends as cancelled where a cancel was asked for, with a receipt in place of the error."""
    may_have_run = any(attempt.was_taken for attempt in job.attempts) or is_possible_duplicate(failed)
    asked_at = job.receipt.asked_at if job.receipt else now
    in_time = None if is_possible_duplicate(failed) else not may_have_run
    return cancel(replace(failed, stage=job.stage, error=None), Receipt(asked_at, told=True, in_time=in_time), now)


def is_stopping(job: Job) -> bool:
    """Whether a run was asked to stop, and its provider has not said what became of it."""
    return job.receipt is not None and job.receipt.in_time is None


async def _stop_run(context: Context, job: Job, step_input: StepInput) -> Transition | None:
    receipt = job.receipt or Receipt(step_input.now)
    waited_s = step_input.now - receipt.asked_at
    if receipt.in_time is False:  # it had ended before: its piece is fetched, unless nobody can get it
        return end_at_once(job, step_input, receipt) if waited_s > ENDED_WAIT_S else None
    if receipt.told:
        return end_at_once(job, step_input, receipt) if waited_s > RUNNING_WAIT_S else None
    result = await _ask(context, job)
    match result:
        case CancelResult.STOPPED:
            job = job.with_attempt(cost=NOTHING_BILLED)
            return end_at_once(job, step_input, replace(receipt, told=True, in_time=True))
        case None:
            if waited_s > CANCEL_FOR_S:
                return end_at_once(job, step_input, receipt)
            waiting = job.move(Stage.WAITING, receipt=receipt)
            return Transition(waiting, CANCEL_AGAIN_S, "the provider cannot be told to stop")
        case CancelResult.TOO_LATE:
            receipt, why = replace(receipt, told=True, in_time=False), "asked to stop, but it had ended before"
        case CancelResult.ASKED:
            receipt, why = replace(receipt, told=True, in_time=None), "asked to stop; it may, or may not"
        case _:
            assert_never(result)
    return Transition(job.move(Stage.WAITING, receipt=receipt), NOW, why)


async def _ask(context: Context, job: Job) -> CancelResult | None:
    """What the provider says to a cancel; None when it cannot be reached."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    crash.point("before_stop")
    try:
        return await context.provider(attempt.provider).cancel(attempt.endpoint, attempt.ticket)
    except ExternalServiceError:
        return None
    finally:
        crash.point("after_stop")


def _has_expired(job: Job, now: float) -> bool:
    """Whether the caller's `expires` has passed before anything was begun."""
    expires_at = job.message.get("expires_at")
    return expires_at is not None and now > expires_at and not job.attempts


def end_at_once(job: Job, step_input: StepInput, receipt: Receipt) -> Transition:
    """The end of a job that is cancelled, or else past its deadline."""
    if step_input.is_cancelled:
        return close(cancel(job, receipt, step_input.now))
    allowed_s = step_input.served.deadline_s
    error = DeadlineExceededError(f"the job did not end within its deadline of {allowed_s:g} s")
    return close(fail(replace(job, receipt=receipt), error, step_input.now))
