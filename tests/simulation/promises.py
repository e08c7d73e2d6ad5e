"""The promises of docs/reliability.md, checked in a world: some at every step, the others when it is quiet.

`no_secret_out` and the pixels of `whole_piece` are not checked here: a world has no logs, no keys and no pictures.
`tests/chaos` checks them.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from celery import states

from tests.simulation.broker import JUST_S
from tests.simulation.virtual_loop import current_process
from worker.engine.cancellation import CLAIMS_ENDED, STRIKES
from worker.errors import InternalError
from worker.jobs.job import Job, Stage

STATE_OF = {Stage.COMPLETED: states.SUCCESS, Stage.FAILED: states.FAILURE, Stage.CANCELLED: states.REVOKED}
CENT = 0.01
FROZEN_S = 5.0  # after Redis or the worker was frozen, or Redis refused connections
WITH_TICKET = frozenset({Stage.WAITING, Stage.FETCHED, Stage.STORED})


@dataclass(frozen=True)
class Violation:
    """A promise that a world broke, and how."""

    promise: str
    kind: str  # the same for all that have one cause
    job: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.job}: {self.text}"


class Promises:
    """The violations of one world, each noted once."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.found: dict[tuple[str, str, str], Violation] = {}
        self.moves: set[tuple[Stage, Stage]] = set()
        self._rows: dict[str, Job] = {}

    def broken(self, promise: str, kind: str, job: str, text: str) -> None:
        """Note a violation."""
        self.found.setdefault((promise, kind, job), Violation(promise, kind, job, text))

    def forget(self) -> None:
        """Redis has lost writes: rows may be what they were before."""
        self._rows.clear()

    def after_command(self) -> None:
        """Compare the rows with what they were."""
        for job_id, row in self._world.ledger.memory.rows.items():
            if (before := self._rows.get(job_id)) is not row.job:
                self._rows[job_id] = row.job
                self._row_changed(before, row.job)

    def _row_changed(self, before: Job | None, job: Job) -> None:
        if before is not None:
            self.moves.add((before.stage, job.stage))
            if before.is_final:
                self.broken("one_ending", "row", job.id, f"its row was {before.stage}, then {job.stage}")
            if before.ending is not None and job.ending != before.ending:
                self.broken("one_ending", "ending", job.id, f"its ending was {before.ending}, then {job.ending}")
        ends_workers = self._claims_ended() >= STRIKES and job.error and CLAIMS_ENDED in job.error.message
        if job.error and job.error.code == InternalError.code and not ends_workers:
            self.broken("no_job_lost", "defect", job.id, f"it ended by a defect of ours: {job.error.message}")
        attempt = job.attempt
        if job.stage in WITH_TICKET and not (attempt and attempt.was_taken):
            self.broken("ticket_first", "ticket", job.id, f"its row is at {job.stage}, and has no ticket")

    def _claims_ended(self) -> int:
        """How many faults have ended what a worker did, so that its claims ended without a write."""
        return sum(fault.startswith(("crash", "freeze")) for fault in self._world.decisions.taken.values())

    def before_take(self, job_id: str) -> None:
        """A provider is about to take a submission."""
        if job_id in self._world.noted:
            self.broken(
                "one_ending", "submitted after a cancel", job_id, "its cancel was noted, and it is submitted now"
            )
        state = self._world.results.state(job_id)
        if state in states.READY_STATES:
            self.broken(
                "one_ending",
                f"submitted after {state}",
                job_id,
                f"its caller was told {state}, and it is submitted now",
            )

    def on_state(self, job_id: str, state: str, result: Any) -> None:
        """A state is stored for callers."""
        if state != states.SUCCESS or not isinstance(result, dict):
            return
        files = [*result.get("images", ()), *([result["video"]] if "video" in result else [])]
        urls = [file["url"] for file in files]
        missing = [url for url in urls if url.removeprefix("https://ours/") not in self._world.stored]
        if missing or not urls:
            self.broken("whole_piece", "files", job_id, f"SUCCESS with {missing or 'no files'}")
        served = {paid.provider for paid in self._world.payments.of(job_id)}
        if result.get("provider") not in served:
            self.broken("no_silent_swap", "provider", job_id, f"says {result.get('provider')}; {served} took it")

    def on_resend(self, job_id: str, closing: bool) -> None:
        """A worker sends a message again. What it saw of the queues before it or Redis was away is old."""
        process, now = current_process(), self._world.loop.time()
        if self._world.server.is_busy or now - self._world.server.back_at < FROZEN_S:
            return
        if process is not None and now - process.frozen_until < FROZEN_S:
            return
        if (waits_s := self._world.broker.waits_s(job_id, closing=closing)) > JUST_S:
            what = "its closing message" if closing else "its message"
            self.broken(
                "no_resend_storm",
                "closing" if closing else "message",
                job_id,
                f"{what} is sent again, and has been waiting for {waits_s:.0f} s",
            )

    def at_the_end(self) -> None:
        """Check a world that is quiet. One that was stopped at a violation has jobs that did not end."""
        is_stopped = any(promise not in self._world.goes_on for promise, *_ in self.found)
        for job_id in sorted({*self._world.promised, *self._rows} if not is_stopped else ()):
            self._ended(job_id)
        for job_id in sorted(self._rows):
            if not is_stopped:
                self._agrees(job_id)
            self._paid(job_id)
            self._billed(job_id)
        for order in self._world.plan.orders:
            self._follows(order)

    def _ended(self, job_id: str) -> None:
        state = self._world.results.state(job_id)
        row = self._rows.get(job_id)
        if state not in states.READY_STATES:
            self.broken(
                "no_job_lost",
                f"stays {state}",
                job_id,
                f"its state is {state}, its row at {row.stage if row else 'nothing'}",
            )
        elif row is not None and not row.is_final:
            self.broken(
                "no_job_lost",
                f"row stays after {state}",
                job_id,
                f"its state is {state}, and its row stays at {row.stage}",
            )

    def _agrees(self, job_id: str) -> None:
        row, state = self._rows[job_id], self._world.results.state(job_id)
        if row.is_final and job_id in self._world.ledger.memory.rows and state != STATE_OF[row.stage]:
            self.broken("one_ending", "row and state", job_id, f"its row is {row.stage}, its state {state}")

    def _paid(self, job_id: str) -> None:
        taken = [paid for paid in self._world.payments.of(job_id) if paid.usd or not paid.is_cancelled]
        attempts = {attempt.number: attempt for attempt in self._rows[job_id].attempts}
        for number in {paid.attempt for paid in taken}:
            if (times := sum(paid.attempt == number for paid in taken)) > 1:
                self.broken("paid_once", "attempt", job_id, f"attempt {number} was taken {times} times")
        billed = [paid for paid in taken if paid.usd]
        marked = sum(attempt.possible_duplicate for attempt in attempts.values())
        reported = self._world.gateway.reported
        told = [paid for paid in billed if "after it was taken" not in paid.how or paid.request_id in reported]
        if len(told) > 1 + marked:
            self.broken("paid_once", "unmarked", job_id, f"paid {len(billed)} times, marked {marked}: {_names(billed)}")
        for before, after in itertools.pairwise(billed):
            was_refused, repeated = "after it was taken" in before.how, attempts.get(after.attempt)
            if was_refused and repeated and repeated.possible_duplicate:
                continue  # docs/reliability.md, "An error after the job was taken": it is marked
            if not self._world.may_be_repeated(before, after.at):
                kind = f"again at {before.provider}" + (
                    " after its error" if "after it was taken" in before.how else ""
                )
                self.broken(
                    "paid_once", kind, job_id, f"{_names([before])} could be known, and was paid again: {after.how}"
                )

    def _billed(self, job_id: str) -> None:
        """What was billed for an attempt lies between the bounds of what its row says."""
        row = self._rows[job_id]
        for attempt in row.attempts if row.is_final else ():
            billed = sum(each.usd for each in self._world.payments.of(job_id) if each.attempt == attempt.number)
            cost = attempt.cost
            if cost is None or cost.upper_usd is None:
                continue
            if not cost.lower_usd - CENT / 100 <= billed <= cost.upper_usd + CENT / 100:
                text = f"attempt {attempt.number}: ${billed:g} billed; its row says {cost.lower_usd:g} to {cost.upper_usd:g}"
                self.broken("money_adds_up", "cost", job_id, text)

    def _follows(self, order: Any) -> None:
        """What comes after finished work is begun."""
        *before, last = order.jobs
        is_ready = before and all(self._world.results.state(job) == states.SUCCESS for job in before)
        if is_ready and self._world.results.state(last) == states.FAILURE and last not in self._rows:
            what = self._world.results.meta(last).get("result")
            self.broken(
                "no_job_lost", "never begun", last, f"what it follows has succeeded, and it was never begun: {what}"
            )


def _names(paid: list[Any]) -> str:
    return ", ".join(
        f"{each.request_id} (attempt {each.attempt}{', ' + each.how if each.how else ''})" for each in paid
    )
