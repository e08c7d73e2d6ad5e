"""The dispatcher: claims due rows and advances each in a task of its own. One event loop for each process.

`advance` decides what happens to a row, `row_writer` writes and publishes it, the ledger makes the write atomic.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from worker.engine.context import CallResources, Context, StepInput
from worker.engine.interruption import Listener
from worker.engine.kept_outcome import OutcomeStore
from worker.engine.row_writer import HeldClaim, Publisher, RowWriter
from worker.engine.spare import SpareCapacity
from worker.engine.submission import report_health
from worker.errors import ClaimLostError
from worker.health.verdict import IGNORED
from worker.jobs.file_keys import job_folder
from worker.jobs.job import Job, Stage
from worker.ledger.base import Claim, Ledger
from worker.net.away import GrowingPause, is_permanent
from worker.routing.served import Served
from worker.testing import crash

log = structlog.get_logger(__name__)

IDLE_S = 0.25  # the longest sleep between two claims: how late a row is seen that another process made due
RENEWALS = 3  # a lease is renewed this many times while it lasts


@dataclass(frozen=True)
class DispatcherOptions:
    """The queues of a dispatcher at its start, its lease, and its limits. Seconds."""

    queues: Sequence[str]
    lease_s: float
    max_claims: int
    monotonic: Callable[[], float] = time.monotonic
    idle_s: float = IDLE_S


class Dispatcher:
    """Runs until `stop`."""

    def __init__(self, ledger: Ledger, context: Context, publisher: Publisher, options: DispatcherOptions) -> None:
        self._ledger, self._context, self._options = ledger, context, options
        self._writer = RowWriter(ledger, publisher, OutcomeStore(context.store), options.lease_s)
        self._listener = Listener(ledger, context, options.monotonic)
        self._held: dict[str, tuple[HeldClaim, asyncio.Task[None]]] = {}
        self._spare = SpareCapacity(options.max_claims, options.monotonic)
        self._wake = asyncio.Event()
        self._claim_pause = GrowingPause(1.0, 30.0)  # after errors that come again at each try
        self._all_queues, self._rounds = list(options.queues), 0
        self._stopping = False
        self._background = list[asyncio.Task[None]]()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs whose claims are held, by id, each as it is to be written next."""
        return {job_id: held.job for job_id, (held, _) in self._held.items()}

    def wake(self) -> None:
        """Claim due rows at once. Call it on the dispatcher's loop."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and advance until `stop` is called; an unreachable ledger is waited for."""
        self._background = [asyncio.create_task(self._renew()), asyncio.create_task(self._listener.run())]
        while not self._stopping:
            await self.run_once()

    async def stop(self, grace_s: float, call_grace_s: float) -> None:
        """Claim no more rows. Wait `grace_s` for held claims, and `call_grace_s` for submissions and uploads.

        The rest comes due again on another worker. The answer of an interrupted submission is unknown, and its row is
        due at once where no provider lists it; an interrupted upload begins again.
        """
        self._stopping = True
        self._wake.set()
        await self.idle(grace_s)
        await _ended([task for held, task in self._held.values() if self._must_finish(held)], call_grace_s)
        late = [task for _, task in self._held.values()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in self._background:
            task.cancel()

    def _must_finish(self, held: HeldClaim) -> bool:
        return held.is_submitting or self._context.fetcher.is_uploading(job_folder(held.job))

    async def idle(self, timeout_s: float | None = None) -> None:
        """Return when the claims that are held now have been released, or after `timeout_s`."""
        await _ended([task for _, task in self._held.values()], timeout_s)

    async def run_once(self) -> None:
        """Claim once, then sleep until there may be more to do. `run` repeats it."""
        self._wake.clear()
        wait: float | None = None
        free = self._options.max_claims - len(self._held)
        try:
            if free > 0:
                spare = self._spare.rows(len(self._held))
                claims, wait = await self._ledger.claim(self._queues(), free, self._options.lease_s, spare)
                self._spare.noted(await self._turn_s(), claims)
                for claim in (
                    claims if not self._stopping else ()
                ):  # else another worker claims them when the lease ends
                    self._take(claim)
            self._claim_pause.reset()
        except Exception as error:  # the outer rim: whatever the ledger's client raises, a worker goes on
            log.exception("claim_failed")
            await self._sleep(self._claim_pause.next_s() if is_permanent(error) else self._options.idle_s)
            return
        await self._sleep(self._options.idle_s if wait is None else min(wait, self._options.idle_s))

    def add_queue(self, queue: str) -> None:
        """Also claim the rows of this queue. Call it on the dispatcher's loop."""
        if queue not in self._all_queues:
            self._all_queues.append(queue)
        self.wake()

    def _queues(self) -> Sequence[str]:
        """The queues, another one first each time, so that none starves the others."""
        self._rounds += 1
        first = self._rounds % max(1, len(self._all_queues))
        return [*self._all_queues[first:], *self._all_queues[:first]]

    async def _turn_s(self) -> float:
        """How long one turn of the event loop takes now."""
        began = self._options.monotonic()
        await asyncio.sleep(0)
        return self._options.monotonic() - began

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._wake.is_set():
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except TimeoutError:
                return

    def _take(self, claim: Claim) -> None:
        held, task = self._held.get(claim.job.id, (None, None))
        if held and held.is_where_we_left(claim.job):  # our lease ended while the ledger was away
            held.replace_claim(claim)
            return
        if held and held.written.stage == Stage.SUBMITTING:
            return  # its ticket must be written first; the row comes due again when this lease ends
        if task:  # another worker has moved the row on
            task.cancel()
        crash.point("after_claim")
        held = HeldClaim(claim, self._options.monotonic, self._options.lease_s)
        task = asyncio.create_task(self._process(held), name=f"job-{claim.job.id}")
        self._held[claim.job.id] = (held, task)
        task.add_done_callback(partial(self._forget, held))

    def _forget(self, ended: HeldClaim, _: asyncio.Task[None]) -> None:
        if (mine := self._held.get(ended.claim.job.id)) and mine[0] is ended:
            del self._held[ended.claim.job.id]
        if len(self._held) == self._options.max_claims - 1:
            self._wake.set()

    async def _process(self, held: HeldClaim) -> None:
        """Advance a claimed row as far as it goes now."""
        resources = CallResources()
        try:
            await self._advance(held, resources)
        except ClaimLostError:
            log.warning("claim_lost", job=held.job.id, stage=held.job.stage)
            await self._writer.leave_outcome(held)
        except asyncio.CancelledError:
            if self._stopping and self._is_lost_with_us(held):
                await self._writer.release_lost_call(held)
            await self._writer.leave_outcome(held)
            raise
        except Exception as error:  # the outer rim: a defect ends the job after a few tries, never the worker
            log.exception("advance_failed", job=held.job.id, stage=held.job.stage, defects=held.job.defects + 1)
            await self._writer.release_after_defect(held, error)
        finally:
            await self._return_resources(held, resources)

    def _is_lost_with_us(self, held: HeldClaim) -> bool:
        """Whether a call is under way that nobody can find once this process has closed it, such as a stream."""
        if {held.job.stage, held.written.stage} != {Stage.SUBMITTING}:
            return False
        provider = self._context.providers.get(held.job.attempts[-1].provider)
        return provider is not None and not provider.lists_requests

    async def _return_resources(self, held: HeldClaim, resources: CallResources) -> None:
        """Return memory and permit, whatever happened: a permit that is kept would block its circuit's probe."""
        resources.release()
        if resources.permit and held.job.attempt:
            resources.verdict = resources.verdict or IGNORED
            await report_health(self._context, held.job.attempt, resources)

    async def _advance(self, held: HeldClaim, resources: CallResources) -> None:
        intent_is_ours, strikes = False, held.claim.claims_since_write
        while True:
            step_input = self._step_input(held, strikes, intent_is_ours, resources)
            if intent_is_ours and held.job.stage == Stage.SUBMITTING:
                await self._check_claim(held)
            transition = await self._listener.step(held, step_input)
            is_released = await self._writer.write(held, transition)
            if resources.verdict and held.job.attempt:
                await report_health(self._context, held.job.attempt, resources)
            if is_released:
                return
            intent_is_ours, strikes = True, 0  # from here on, this claim has written what is on the row

    def _step_input(self, held: HeldClaim, strikes: int, intent_is_ours: bool, resources: CallResources) -> StepInput:
        return StepInput(
            now=held.now(),
            signals=held.claim.signals,
            clock=held.now,
            served=Served(self._context.catalogue, held.job),
            strikes=strikes,
            intent_is_ours=intent_is_ours,
            late_s=held.claim.late_s,
            resources=resources,
        )

    async def _check_claim(self, held: HeldClaim) -> None:
        """Raise `ClaimLostError` if this process slept between the intent and its POST and lost the row meanwhile."""
        if self._options.monotonic() - held.held_at > self._options.lease_s / 2:
            await self._writer.persist(held, 0.0)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease_s / RENEWALS)
            await self.renew_once()

    async def listen_once(self) -> None:
        """Interrupt the steps of jobs that were cancelled, or are past their deadlines, meanwhile. `run` repeats it."""
        await self._listener.listen_once()

    async def renew_once(self) -> None:
        """Renew the lease of every claim; cancel the jobs that another worker has claimed. `run` repeats it."""
        held = [(job_id, mine.claim.fence) for job_id, (mine, _) in self._held.items()]
        try:
            lost = await self._ledger.renew(held, self._options.lease_s) if held else set()
        except Exception:  # the outer rim: retried in a moment; a lease that ends does no harm
            log.exception("renew_failed", claims=len(held))
            return
        for job_id, fence in held:
            if job_id in lost:
                self._cancel_lost(job_id, fence)

    def _cancel_lost(self, job_id: str, fence: int) -> None:
        """Cancel a job that another worker has claimed. A submission goes on all the same: its outcome is needed."""
        mine = self._held.get(job_id)
        if mine and mine[0].claim.fence == fence and not mine[0].is_submitting:
            log.warning("claim_lost", job=job_id)
            mine[1].cancel()


async def _ended(tasks: Sequence[asyncio.Task[None]], timeout_s: float | None) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)
