"""Hears a cancel and the deadline while a step still waits: for a file, a provider's answer, memory or a slot.

A claim knows of the signals that came before it. So the listener looks for cancels, and at the clock, every second for
steps that take long, and interrupts them. A step that spends nothing is interrupted at once. One that brings what is
paid for already has `GRACE_S` more: most pieces are there by then.

The one POST to a provider that returns tickets is never interrupted. It takes at most `call_s`, and its answer is the
only means to stop the run.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from worker.engine.advance import advance
from worker.engine.cancellation import end_at_once, is_late, stop_failed
from worker.engine.context import Context, StepInput, Transition
from worker.engine.endings import cancel
from worker.engine.late_news import book_lost_call
from worker.engine.row_writer import HeldClaim
from worker.errors import InternalError
from worker.jobs.job import Job, Receipt, Stage
from worker.jobs.signals import CANCEL
from worker.ledger.base import Ledger

log = structlog.get_logger(__name__)

LISTEN_S = 1.0  # a step that takes longer is listened for
GRACE_S = 3.0  # for a step whose end is worth its wait
_INTERRUPTED = frozenset({Stage.ACCEPTED, Stage.SUBMITTING, Stage.UNKNOWN, Stage.WAITING, Stage.FETCHED})


@dataclass(eq=False)
class _Step:
    """A step that runs now. `knew`: it was begun after the cancel or the deadline."""

    task: "asyncio.Task[object]"
    held: HeldClaim
    step_input: StepInput
    began_at: float
    knew: bool
    heard_at: float | None = None
    is_cancelled: bool = False
    is_interrupted: bool = False


class Listener:
    """Runs the steps of one dispatcher, and interrupts those whose job is over."""

    def __init__(self, ledger: Ledger, context: Context, monotonic: Callable[[], float]) -> None:
        self._ledger, self._context, self._monotonic = ledger, context, monotonic
        self._steps = set[_Step]()

    async def step(self, held: HeldClaim, step_input: StepInput) -> Transition:
        """What `advance` returns, or what follows its interruption."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        knew = step_input.is_cancelled or is_late(held.job, step_input)
        step = _Step(task, held, step_input, self._monotonic(), knew)
        self._steps.add(step)
        try:
            return _as_heard(await advance(self._context, held.job, step_input), step)
        except asyncio.CancelledError:
            if not step.is_interrupted or task.uncancel() > 0:  # the claim is lost, or the worker stops
                raise
        finally:
            self._steps.discard(step)
        log.info("step_interrupted", job=held.job.id, stage=held.job.stage, cancelled=step.is_cancelled)
        if step.is_cancelled:
            held.claim = replace(held.claim, signals={**held.claim.signals, CANCEL: "1"})
        step_input = replace(step_input, signals=held.claim.signals, now=held.now())
        return await _end_interrupted(self._context, held.job, step_input, knew=knew)

    async def run(self) -> None:
        """Listen until it is cancelled."""
        while True:
            await asyncio.sleep(LISTEN_S)
            await self.listen_once()

    async def listen_once(self) -> None:
        """Look once for cancels and passed deadlines of the steps that take long. `run` repeats it."""
        now = self._monotonic()
        long = [step for step in self._steps if now - step.began_at >= LISTEN_S and not step.is_interrupted]
        unheard = [step.held.job.id for step in long if step.heard_at is None and _may_hear_cancel(step.held.job)]
        try:
            cancelled = await self._ledger.cancelled(unheard) if unheard else set[str]()
        except Exception:  # the outer rim: whatever the ledger's client raises; deadlines are heard all the same
            log.warning("cancels_not_read", jobs=len(unheard), exc_info=True)
            cancelled = set()
        for step in long:
            if step in self._steps:  # it may have ended meanwhile
                self._interrupt_if_over(step, step.held.job.id in cancelled)

    def _interrupt_if_over(self, step: _Step, is_cancelled: bool) -> None:
        now, job = self._monotonic(), step.held.job
        step.is_cancelled = step.is_cancelled or is_cancelled
        is_over = step.knew or step.is_cancelled or is_late(job, replace(step.step_input, now=step.held.now()))
        if not is_over:
            return
        step.heard_at = now if step.heard_at is None else step.heard_at
        most_s = _patience_s(self._context, job, step)
        if most_s is not None and now - (step.began_at if step.knew else step.heard_at) >= most_s:
            step.is_interrupted = True
            step.task.cancel()


def _as_heard(transition: Transition, step: _Step) -> Transition:
    """A job that ended well in a step that had heard of a cancel ends as cancelled, with its files."""
    job, now = transition.job, step.held.now()
    if not step.is_cancelled or job.ending != Stage.COMPLETED:
        return transition
    receipt = replace(job.receipt or Receipt(now, told=True), in_time=False)
    return replace(transition, job=cancel(job, receipt, now))


def _may_hear_cancel(job: Job) -> bool:
    """Whether a cancel changes anything now. A lost submission is found, or given up, before its run is stopped."""
    return job.ending is None and job.stage in _INTERRUPTED - {Stage.UNKNOWN}


def _patience_s(context: Context, job: Job, step: _Step) -> float | None:
    """How long a step of a job that is over may go on. None: to its own end."""
    if job.ending is not None or job.stage not in _INTERRUPTED:
        return None
    if job.stage == Stage.SUBMITTING:
        provider = context.providers.get(job.attempts[-1].provider)
        return None if provider is None or provider.lists_requests else GRACE_S
    return GRACE_S if step.knew or step.step_input.resources.paid or job.stage == Stage.FETCHED else 0.0


async def _end_interrupted(context: Context, job: Job, step_input: StepInput, *, knew: bool) -> Transition:
    paid = step_input.resources.paid
    step_input.resources.release()
    if paid or job.stage == Stage.FETCHED:  # its cost is known, and its files are given up
        job = paid or job
        return end_at_once(job, step_input, replace(job.receipt or Receipt(step_input.now, told=True), in_time=False))
    match job.stage:
        case Stage.SUBMITTING:
            return end_at_once(book_lost_call(context, job, step_input), step_input, Receipt(step_input.now))
        case Stage.WAITING if knew:
            return stop_failed(job, step_input)
        case Stage.ACCEPTED | Stage.UNKNOWN | Stage.WAITING:
            return await advance(context, job, step_input)
    raise InternalError(f"job {job.id}: a step at {job.stage} was interrupted")
