"""Holds a claimed job and writes its next row, however long the ledger is away; then logs and publishes it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from worker.engine.context import RECLAIM_S, Transition
from worker.engine.defect_text import defect_text
from worker.engine.endings import error_record, fail
from worker.engine.kept_outcome import OutcomeStore, has_outcome, leave_as_signal
from worker.errors import ClaimLostError, InternalError, SubmitUnknownError
from worker.explain.history import with_defect, with_history
from worker.jobs.job import Job, Observation, Stage
from worker.jobs.status import JobStatus, delayed_by, state_of, status_of
from worker.ledger.base import Claim, Ledger
from worker.net.away import is_permanent
from worker.testing import crash

log = structlog.get_logger(__name__)

DEFECTS = 5  # unexpected errors in a row before a job is given up
PERSIST_TRIES = 3600  # about as many seconds: how long a write is retried while the ledger is away
PUBLISH_S = 1.0  # the least time between two statuses with news from the provider
PUBLISH_ESTIMATE_S = 5.0  # and between two that differ in the estimated progress alone


class Publisher(Protocol):
    """Celery's queues, result backend and events. A call that failed is repeated with the next change of the row."""

    async def send(self, job: Job) -> None:
        """Send the message of a job that no worker has accepted."""

    async def publish(self, job: Job, status: JobStatus, milestone: bool) -> None:
        """Publish the status of a job that has not ended. A milestone is a new state, or another quarter done."""

    async def close(self, job: Job) -> None:
        """Have Celery end a closing job. The side that ends it confirms that to the ledger."""


@dataclass
class HeldClaim:
    """A claim of this process: the job as it was last written, and as it is to be written next."""

    claim: Claim
    monotonic: Callable[[], float]
    lease_s: float  # of the next write that keeps the claim
    since: float = field(init=False)  # when the claim came, by this process's clock
    job: Job = field(init=False)
    written: Job = field(init=False)  # as the ledger has it
    held_at: float = field(init=False)  # when the lease was last known to begin

    def __post_init__(self) -> None:
        self.job = self.written = self.claim.job
        self.since = self.held_at = self.monotonic()

    def now(self) -> float:
        """The ledger's time, without asking it: the claim's, plus what has passed since."""
        return self.claim.now + self.monotonic() - self.since

    def replace_claim(self, claim: Claim) -> None:
        """The same row under a newer claim of this process."""
        self.claim, self.since = claim, self.monotonic()

    @property
    def is_submitting(self) -> bool:
        """Whether the POST may be out and its ticket is not written. Then it goes on, even if the claim is lost."""
        return Stage.SUBMITTING in {self.job.stage, self.written.stage}

    def is_where_we_left(self, found: Job) -> bool:
        """Whether a row that we claimed again is where we left it. `unknown` is what others make of our open POST."""
        if any((found.stage, found.attempts) == (row.stage, row.attempts) for row in (self.job, self.written)):
            return True
        made_of_ours = self.written.stage == Stage.SUBMITTING and found.stage == Stage.UNKNOWN
        return made_of_ours and found.attempts == self.written.attempts


class RowWriter:
    """Writes rows under the claims of one dispatcher."""

    def __init__(self, ledger: Ledger, publisher: Publisher, outcomes: OutcomeStore, lease_s: float) -> None:
        self._ledger, self._publisher, self._outcomes, self._lease_s = ledger, publisher, outcomes, lease_s

    async def write(self, held: HeldClaim, transition: Transition) -> bool:
        """Write the next row, then publish it. True when the claim is released, and we have not claimed the row again.

        Raises `ClaimLostError` when another worker holds the row.
        """
        before, now = held.job, held.now()
        job = with_history(before, replace(transition.job, defects=0), now, transition.why, held.claim.signals)
        is_published = should_publish(before, job, now)
        held.job = replace(job, published_at=now) if is_published else job
        held.lease_s = transition.lease_s or self._lease_s
        used = await self.persist(held, transition.due_in_s)
        held.written = held.job
        log_changes(before, job)
        try:
            if is_published:
                await self._publisher.publish(held.job, status_of(held.job, now), is_milestone(before, job))
            is_sent_again = job.tries != before.tries
            if job.stage == Stage.SENT and is_sent_again:
                await self._publisher.send(job)
            elif job.stage == Stage.CLOSING and (is_sent_again or before.stage != Stage.CLOSING):
                await self._publisher.close(job)
        except Exception:  # the outer rim: published with the next change, closed when the row comes due again
            log.warning("not_told", job=job.id, stage=job.stage, exc_info=True)
        return transition.due_in_s > 0 and held.claim is used  # a signal may make it due while it is published

    async def persist(self, held: HeldClaim, due_in_s: float) -> Claim:
        """Write the row, however long the ledger is away: a ticket or an answer that is not written is paid for twice.

        While the ledger is away, such an outcome is kept in the store, because this process may end before the ledger
        is back. Returns the claim that was used. Raises `ClaimLostError`.
        """
        is_kept = False
        for pause_s in (0.1, 0.2, 0.5, *([1.0] * PERSIST_TRIES)):
            try:
                claim, began = held.claim, held.monotonic()
                crash.point(f"before_write_{held.job.stage}")
                if due_in_s <= 0:
                    await self._ledger.keep(claim, held.job, held.lease_s)
                else:
                    await self._ledger.release(claim, held.job, due_in_s)
                crash.point(f"after_write_{held.job.stage}")
                held.held_at = began
                if is_kept:
                    await self._outcomes.drop(held.job)
                return claim
            except ClaimLostError:
                if claim is held.claim:  # else we claimed the row again ourselves
                    raise
            except (ValueError, TypeError, RecursionError):  # it cannot be written at all
                raise
            except Exception as error:  # the outer rim: whatever the ledger's client raises
                log.warning("write_failed", job=held.job.id, stage=held.job.stage, exc_info=True)
                is_kept = is_kept or (has_outcome(held.written, held.job) and await self._outcomes.put(held.job))
                if is_permanent(error):  # it would hold the claim for an hour; the row is tried again, or set aside
                    raise
                await asyncio.sleep(pause_s)
        raise InternalError(f"the ledger could not be written for job {held.job.id}")

    async def leave_outcome(self, held: HeldClaim) -> None:
        """Leave an outcome that came too late to be written to the worker that holds the row now."""
        if has_outcome(held.written, held.job) and not await leave_as_signal(self._ledger, held.job):
            await self._outcomes.put(held.job)

    async def release_lost_call(self, held: HeldClaim) -> None:
        """Release the row of a call that we close at our stop: its outcome is unknown, and no lease is waited for."""
        error = SubmitUnknownError("the worker was stopped during the call", provider=held.job.attempts[-1].provider)
        lost = held.written.with_attempt(error=error_record(error)).move(Stage.UNKNOWN, tries=0)
        try:
            await self._ledger.release(
                held.claim, with_history(held.written, lost, held.now(), error.message), RECLAIM_S
            )
        except Exception:  # the outer rim: the row comes due again when the lease ends
            log.warning("release_failed", job=lost.id, exc_info=True)

    async def release_after_defect(self, held: HeldClaim, defect: Exception) -> None:
        """Release the row as it was last written, with a growing pause, or end it: a job never stays for ever."""
        defects = held.claim.job.defects + 1
        what = defect_text(defect)
        job = with_defect(replace(held.written, defects=defects), held.now(), what)
        if defects >= DEFECTS and job.ending is None:
            error = InternalError(f"{defects} unexpected errors in the worker, the last one: {what}; see its log")
            job = with_history(job, fail(job, error, held.now()), held.now())
        try:
            await self._ledger.release(held.claim, job, min(2.0**defects, 60.0))
        except Exception:  # the outer rim: the row comes due again when the lease ends
            log.exception("release_failed", job=job.id)


def log_changes(before: Job, job: Job) -> None:
    """The log lines of a job's life: one for each submission, one for its end."""
    if job.stage == before.stage:
        return
    attempt = job.attempt
    names = {"job": job.id, "task": job.task, "model": job.step.model, "attempt": len(job.attempts)}
    if job.stage == Stage.WAITING and attempt and attempt.ticket:
        log.info("job_submitted", **names, endpoint=attempt.endpoint, request_id=attempt.ticket.request_id)
    elif job.stage == Stage.CLOSING and job.ending:
        code = job.error.code if job.error else None
        total_s = round((job.closed_at or 0) - job.created_at, 3)
        log.info("job_ended", **names, ending=job.ending.value, error=code, total_s=total_s)


def should_publish(before: Job, job: Job, now: float) -> bool:
    """Every milestone, attempt and reason for a delay; news from the provider once a second; an estimate every five."""
    if job.ending is not None or job.stage in {Stage.SENT, Stage.SUBMITTING}:  # the POST follows an intent at once
        return False
    if _passes(before, job):
        return False
    if job.published_at is None or is_milestone(before, job) or len(job.attempts) != len(before.attempts):
        return True
    if delayed_by(job) != delayed_by(before):
        return True
    if job.observed == before.observed:
        return False
    is_estimate = _without_estimates(job.observed) == _without_estimates(before.observed)
    return now - job.published_at >= (PUBLISH_ESTIMATE_S if is_estimate else PUBLISH_S)


def is_milestone(before: Job, job: Job) -> bool:
    """A new state, or another quarter done."""
    quarters = [int(4 * (row.observed.progress or 0.0)) for row in (before, job)]
    return job.published_at is None or state_of(job) != state_of(before) or quarters[1] > quarters[0]


def _passes(before: Job, job: Job) -> bool:
    """Whether a row of pictures only passes a stage on its way to its end: its files are stored in a moment."""
    on_its_way = job.stage in {Stage.FETCHED, Stage.STORED} and job.stage != before.stage
    is_known = job.published_at is not None and state_of(job) == state_of(before)
    return on_its_way and is_known and job.is_brief


def _without_estimates(observed: Observation) -> Observation:
    """An observation without what comes from our clock."""
    progress = None if observed.progress_estimated else observed.progress
    return replace(observed, queued_at=None, progress=progress)
