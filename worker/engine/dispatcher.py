"""The dispatcher: claims due rows, has each advanced, writes it, and tells the outside. One loop a process.

`advance` decides what happens to a row, the ledger makes it atomic, and `Publisher` shows it to Celery.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from worker.engine.advance import advance
from worker.engine.claim import HeldClaim
from worker.engine.context import CallResources, Context, StepInput, Transition
from worker.engine.endings import fail
from worker.engine.publishing import is_milestone, log_changes, should_publish
from worker.engine.submission import report_health
from worker.errors import ClaimLostError, InternalError
from worker.explain.history import with_history
from worker.health.verdict import IGNORED
from worker.jobs.job import Job, Stage, dump_ticket
from worker.jobs.signals import ticket_signal
from worker.jobs.status import JobStatus, status_of
from worker.ledger.base import Claim, Ledger
from worker.routing.served import Served
from worker.testing import crash

log = structlog.get_logger(__name__)

IDLE_S = 0.25  # the longest sleep between two claims: how late a row is seen that another process made due
DEFECTS = 5  # unexpected errors in a row before a job is given up
PERSIST_TRIES = 3600  # seconds, at the least, that a write is tried again while the ledger is away
RENEWALS = 3  # a lease is renewed this many times while it lasts


class Publisher(Protocol):
    """Where states and messages go: Celery's queues, result backend and events. Told again after a failure."""

    async def send(self, job: Job) -> None:
        """Send the message of a job that no worker has accepted."""

    async def publish(self, job: Job, status: JobStatus, milestone: bool) -> None:
        """Publish the status of a job that has not ended. A milestone is a new state, or another quarter done."""

    async def close(self, job: Job) -> None:
        """Have a closing job ended; whoever ended it confirms that to the ledger."""


@dataclass(frozen=True)
class DispatcherOptions:
    """How a dispatcher minds its rows. Seconds."""

    queues: Sequence[str]
    lease_s: float
    max_claims: int
    monotonic: Callable[[], float] = time.monotonic
    idle_s: float = IDLE_S


class Dispatcher:
    """Runs until `stop`."""

    def __init__(self, ledger: Ledger, context: Context, publisher: Publisher, options: DispatcherOptions) -> None:
        self._ledger, self._context, self._publisher, self._options = ledger, context, publisher, options
        self._held: dict[str, tuple[HeldClaim, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._rounds = 0
        self._stopping = False
        self._renewing: asyncio.Task[None] | None = None

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs in hand by id, each as it is to be written next."""
        return {job_id: held.job for job_id, (held, _) in self._held.items()}

    def wake(self) -> None:
        """Look for due rows at once. Call it on the dispatcher's loop."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and advance until `stop` is called; an unreachable ledger is waited for."""
        self._renewing = asyncio.create_task(self._renew())
        while not self._stopping:
            await self.run_once()

    async def stop(self, grace_s: float, call_grace_s: float) -> None:
        """Take no more rows; give those in hand `grace_s`, and a call that is seen through `call_grace_s`.

        What is left comes due again elsewhere. A submission that is broken off is one that nobody knows the answer of;
        an upload that is broken off is begun anew.
        """
        self._stopping = True
        self._wake.set()
        await self.idle(grace_s)
        await _ended([task for held, task in self._held.values() if self._is_seen_through(held)], call_grace_s)
        late = [task for _, task in self._held.values()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if self._renewing:
            self._renewing.cancel()

    def _is_seen_through(self, held: HeldClaim) -> bool:
        return held.is_submitting or self._context.fetcher.is_uploading(held.job.id)

    async def idle(self, timeout_s: float | None = None) -> None:
        """Return when the jobs in hand now have been let go, or when the time is up."""
        await _ended([task for _, task in self._held.values()], timeout_s)

    async def run_once(self) -> None:
        """Claim once, then sleep until there may be more to do. `run` repeats it."""
        self._wake.clear()
        wait: float | None = None
        room = self._options.max_claims - len(self._held)
        try:
            if room > 0:
                claims, wait = await self._ledger.claim(self._queues(), room, self._options.lease_s)
                for claim in claims if not self._stopping else ():  # else the lease ends, and somebody else takes them
                    self._take(claim)
        except Exception:  # the outer rim: whatever the ledger's client raises, a worker goes on
            log.exception("claim_failed")
            wait = 1.0
        await self._sleep(self._options.idle_s if wait is None else min(wait, self._options.idle_s))

    def _queues(self) -> Sequence[str]:
        """The queues, another one first each time, so that none starves the others."""
        self._rounds += 1
        first = self._rounds % max(1, len(self._options.queues))
        return [*self._options.queues[first:], *self._options.queues[:first]]

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._wake.is_set():
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except TimeoutError:
                return

    def _take(self, claim: Claim) -> None:
        mine = self._held.get(claim.job.id)
        if mine and mine[0].is_where_we_left(claim.job):  # our lease ended while the ledger was away
            mine[0].claim, mine[0].since = claim, self._options.monotonic()
            return
        if mine and mine[0].written.stage == Stage.SUBMITTING:
            return  # seen through for its ticket's sake; the row comes due again when this lease ends
        if mine:  # somebody else has moved it on
            mine[1].cancel()
        crash.point("after_claim")
        held = HeldClaim(claim, self._options.monotonic())
        task = asyncio.create_task(self._mind(held), name=f"job-{claim.job.id}")
        self._held[claim.job.id] = (held, task)
        task.add_done_callback(lambda _: self._let_go(held))

    def _let_go(self, held: HeldClaim) -> None:
        if (mine := self._held.get(held.claim.job.id)) and mine[0] is held:
            del self._held[held.claim.job.id]
        if len(self._held) == self._options.max_claims - 1:
            self._wake.set()

    async def _mind(self, held: HeldClaim) -> None:
        """Advance a claimed row as far as it goes now."""
        resources = CallResources()
        try:
            await self._advance(held, resources)
        except ClaimLostError:
            log.warning("claim_lost", job=held.job.id, stage=held.job.stage)
            await self._leave_ticket(held)
        except asyncio.CancelledError:
            await self._leave_ticket(held)
            raise
        except Exception:  # the outer rim: a defect ends the job after a few tries, never the worker
            log.exception("advance_failed", job=held.job.id, stage=held.job.stage, defects=held.job.defects + 1)
            await self._after_defect(held)
        finally:
            await self._end_flight(held, resources)

    async def _end_flight(self, held: HeldClaim, resources: CallResources) -> None:
        """Whatever became of the row, room is given back and a submission told of: else a probe blocks its circuit."""
        resources.release()
        if resources.permit and held.job.attempt:
            resources.verdict = resources.verdict or IGNORED
            await report_health(self._context, held.job.attempt, resources)

    async def _advance(self, held: HeldClaim, resources: CallResources) -> None:
        intent_is_ours = False
        strikes = held.claim.claims_since_write
        while True:
            step_input = self._step_input(held, strikes, intent_is_ours, resources)
            if intent_is_ours and held.job.stage == Stage.SUBMITTING:
                await self._still_ours(held)
            transition = await advance(self._context, held.job, step_input)
            is_let_go = await self._write(held, transition)
            if resources.verdict and held.job.attempt:
                await report_health(self._context, held.job.attempt, resources)
            if is_let_go:
                return
            intent_is_ours, strikes = True, 0  # whatever stands on the row from here on, this claim has written it

    def _step_input(self, held: HeldClaim, strikes: int, intent_is_ours: bool, resources: CallResources) -> StepInput:
        return StepInput(
            now=self._now(held),
            signals=held.claim.signals,
            clock=partial(self._now, held),
            served=Served(self._context.catalogue, held.job),
            strikes=strikes,
            intent_is_ours=intent_is_ours,
            late_s=held.claim.late_s,
            resources=resources,
        )

    async def _still_ours(self, held: HeldClaim) -> None:
        """Raise `ClaimLostError` when this process slept between the intent and its POST, and the row is another's."""
        if self._options.monotonic() - held.held_at > self._options.lease_s / 2:
            await self._persist(held, 0.0)

    async def _leave_ticket(self, held: HeldClaim) -> None:
        """A ticket that came too late to be written is a signal to whoever holds the row now."""
        attempt = held.job.attempt
        if not (attempt and attempt.ticket and held.written.stage == Stage.SUBMITTING):
            return
        for pause_s in (0.2, 1.0, 2.0, 5.0):
            try:
                await self._ledger.signal(held.job.id, ticket_signal(attempt.number), dump_ticket(attempt.ticket))
            except Exception:  # the outer rim: whatever the ledger's client raises
                log.warning("ticket_left_behind", job=held.job.id, request_id=attempt.ticket.request_id, exc_info=True)
                await asyncio.sleep(pause_s)
            else:
                return

    async def _write(self, held: HeldClaim, transition: Transition) -> bool:
        """Write the next row, then tell the outside. True when the claim is let go, and we have not claimed it anew."""
        before, now = held.job, self._now(held)
        job = with_history(before, replace(transition.job, defects=0), now, transition.why, held.claim.signals)
        telling = should_publish(before, job, now)
        held.job = replace(job, published_at=now) if telling else job
        wrote = await self._persist(held, transition.due_in_s)
        held.written = held.job
        log_changes(before, job)
        try:
            if telling:
                await self._publisher.publish(held.job, status_of(held.job, now), is_milestone(before, job))
            if job.stage == Stage.SENT:
                await self._publisher.send(job)
            elif job.stage == Stage.CLOSING:
                await self._publisher.close(job)
        except Exception:  # the outer rim: told with the next change, closed when it comes due again
            log.warning("not_told", job=job.id, stage=job.stage, exc_info=True)
        return transition.due_in_s > 0 and held.claim is wrote  # a signal may make it due while it is still told

    async def _persist(self, held: HeldClaim, due_in_s: float) -> Claim:
        """Write what has happened, however long the ledger is away: a ticket that is not written is a paid job lost.

        Returns the claim that it was written by.
        """
        for pause_s in (0.1, 0.2, 0.5, *([1.0] * PERSIST_TRIES)):
            try:
                claim, began = held.claim, self._options.monotonic()
                crash.point(f"before_write_{held.job.stage}")
                if due_in_s <= 0:
                    await self._ledger.keep(claim, held.job, self._options.lease_s)
                else:
                    await self._ledger.release(claim, held.job, due_in_s)
                crash.point(f"after_write_{held.job.stage}")
                held.held_at = began
                return claim
            except ClaimLostError:
                if claim is held.claim:  # else it was ourselves who claimed the row anew
                    raise
            except (ValueError, TypeError, RecursionError):  # it cannot be written at all
                raise
            except Exception:  # the outer rim: whatever the ledger's client raises
                log.warning("write_failed", job=held.job.id, stage=held.job.stage, exc_info=True)
                await asyncio.sleep(pause_s)
        raise InternalError(f"the ledger could not be written for job {held.job.id}")

    async def _after_defect(self, held: HeldClaim) -> None:
        """Put the row back as it was last written, with a growing pause, or end it: a job never stays for ever."""
        defects = held.claim.job.defects + 1
        job = replace(held.written, defects=defects)
        if defects >= DEFECTS and job.ending is None:
            job = fail(
                job, InternalError("an unexpected error in the worker, again and again; see its log"), self._now(held)
            )
        try:
            await self._ledger.release(held.claim, job, min(2.0**defects, 60.0))
        except Exception:  # the outer rim: the row comes due again when the lease ends
            log.exception("release_failed", job=job.id)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease_s / RENEWALS)
            await self.renew_once()

    async def renew_once(self) -> None:
        """Renew the lease of every claim; drop the jobs that another worker has claimed. `run` repeats it."""
        held = [(job_id, mine.claim.fence) for job_id, (mine, _) in self._held.items()]
        try:
            lost = await self._ledger.renew(held, self._options.lease_s) if held else set()
        except Exception:  # the outer rim: tried again in a moment, and a lease that ends is no harm
            log.exception("renew_failed", claims=len(held))
            return
        for job_id, fence in held:
            if job_id in lost:
                self._drop(job_id, fence)

    def _drop(self, job_id: str, fence: int) -> None:
        """Leave what somebody else holds; a submission is seen through all the same, for its ticket's sake."""
        mine = self._held.get(job_id)
        if mine and mine[0].claim.fence == fence and not mine[0].is_submitting:
            log.warning("claim_lost", job=job_id)
            mine[1].cancel()

    def _now(self, held: HeldClaim) -> float:
        """The ledger's time, without asking it: the claim's, plus what has passed since."""
        return held.claim.now + self._options.monotonic() - held.since


async def _ended(tasks: Sequence[asyncio.Task[None]], timeout_s: float | None) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)
