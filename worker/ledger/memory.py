"""The ledger in memory, for tests of the layers above. Keeps the same contract; the test sets the clock."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.errors import ClaimLostError, KeyReusedError
from worker.jobs.job import HistoryEntry, Job, Stage, dump_job
from worker.jobs.signals import AFTER_THE_END, CANCEL
from worker.ledger.base import (
    BACKDATE_S,
    SHARE,
    SHARE_S,
    SPARE_DUE_S,
    SPARE_WAIT_S,
    BadRow,
    Claim,
    IdempotencyKey,
    Row,
    is_forgotten,
)
from worker.ledger.hash import accepted_job


@dataclass
class StoredRow:
    """A row with its claim; tests read it and change it."""

    job: Job
    due: float
    fence: int = 0
    claims_since_write: int = 0
    until: float = 0
    signal_count: int = 0
    taken_until: float = 0
    signals: dict[str, str] = field(default_factory=dict)
    forget_at: float | None = None


class MemoryLedger:
    """See `worker.ledger.base.Ledger`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.rows: dict[str, StoredRow] = {}
        self._idempotency: dict[str, tuple[str, str]] = {}  # key: job id, fingerprint
        self._possible_duplicates = 0
        self._dead: dict[str, None] = {}
        self._share_used: dict[tuple[str, str], float] = {}  # queue and tenant: until when its share is used
        self._spare: dict[str, float] = {}  # ids of rows beyond their tenant's share, and when they were accepted
        self._runs: dict[str, str] = {}  # whose a run is
        self._pointers: dict[str, tuple[str, float]] = {}  # a name's job, and until when it is known
        self._cancelled: dict[str, float] = {}  # ids without a row: until when their cancel is noted

    async def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row unless a row of this id is past *sent*."""
        row = self._row(job.id)
        if row and row.job.stage != Stage.SENT:
            return False, row.job
        if row is None and is_forgotten(job, self._clock()):
            return False, job
        owner, of = self._idempotency.setdefault(key.value, (job.id, key.fingerprint)) if key else (job.id, "")
        if key and owner != job.id:
            if of == key.fingerprint and (first := self._row(owner)):
                return False, first.job
            raise KeyReusedError(f"idempotency_key: job {owner} already owns it")
        job = accepted_job(job, dump_job(row.job) if row else None, self._clock())
        fence, signal_count, signals = (row.fence, row.signal_count, row.signals) if row else (0, 0, {})
        due = self._clock() - BACKDATE_S[job.options.priority]
        self.rows[job.id] = row = StoredRow(job, due, fence + 1, signal_count=signal_count, signals=signals)
        if not self._apply_note(row) and job.options.tenant and not self._take_share(job.queue, job.options.tenant):
            self._spare[job.id], row.due = self._clock(), self._clock() + SPARE_DUE_S
        return True, job

    def _take_share(self, queue: str, tenant: str) -> bool:
        """Whether the tenant may begin one more job now, before others."""
        now = self._clock()
        used_until = max(now, self._share_used.get((queue, tenant), 0.0))
        if used_until - now >= SHARE * SHARE_S:
            return False
        self._share_used[queue, tenant] = used_until + SHARE_S
        return True

    async def take_share(self, queue: str, tenant: str) -> bool:
        """As a producer does, before it sends a job."""
        return self._take_share(f"sends:{queue}", tenant)

    async def send(self, job: Job, wait_s: float) -> None:
        """Write a row at stage *sent*, as a producer does."""
        if self._row(job.id) is None:
            self.rows[job.id] = row = StoredRow(job, due=self._clock() + wait_s)
            if self._apply_note(row):
                row.due = self._clock()

    def _apply_note(self, row: StoredRow) -> bool:
        """Put a noted cancel on a new row."""
        is_noted = self._cancelled.get(row.job.id, 0.0) > self._clock()
        if is_noted:
            row.signals[CANCEL], row.signal_count = "1", row.signal_count + 1
        return is_noted

    async def claim(
        self, queues: Sequence[str], limit: int, lease_s: float, spare: int | None = None
    ) -> tuple[list[Claim], float | None]:
        """Claim due rows of these queues."""
        now = self._clock()
        waiting = [row for row in self.rows.values() if row.job.queue in queues and not row.job.is_final]
        for row in waiting:
            if row.job.id in self._spare and row.due <= now:
                row.due = now + SPARE_DUE_S
        ready = sorted((row for row in waiting if row.due <= now), key=lambda r: (queues.index(r.job.queue), r.due))
        ready = ready[:limit]
        beyond = [row for row in waiting if row.job.id in self._spare]
        ready += beyond[: max(0, min(limit - len(ready), limit if spare is None else spare))]
        claims = []
        for row in ready:
            late_s = now - self._spare.pop(row.job.id, row.due)
            row.fence, row.claims_since_write = row.fence + 1, row.claims_since_write + 1
            row.until = row.due = now + lease_s
            signals, count = dict(row.signals), row.signal_count
            claims.append(Claim(row.job, row.fence, now, row.claims_since_write, signals, count, late_s))
        dues = [max(0.0, row.due - now) for row in waiting]
        if any(row.job.id in self._spare for row in waiting):
            dues.append(SPARE_WAIT_S)
        return claims, min(dues, default=None)

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Extend these claims by a lease."""
        lost = set()
        for job_id, fence in held:
            row = self._row(job_id)
            if row is None or row.fence != fence:
                lost.add(job_id)
            elif row.until:
                row.until = row.due = max(row.until, self._clock() + lease_s)
        return lost

    async def cancelled(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs whose rows have a cancel."""
        return {job_id for job_id in job_ids if (row := self._row(job_id)) and CANCEL in row.signals}

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and extend the claim."""
        row = self._held(claim, job)
        row.until = row.due = self._clock() + lease_s

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and end the claim."""
        row = self._held(claim, job)
        row.until = 0
        row.due = self._clock() + (0 if row.signal_count != claim.signal_count else due_in_s)

    def _held(self, claim: Claim, job: Job) -> StoredRow:
        row = self._row(job.id)
        if row is None or row.fence != claim.fence:
            raise ClaimLostError(f"job {job.id}: another worker holds the row since fence {claim.fence}")
        row.job, row.claims_since_write = job, 0
        if run := job.new_run:
            self._runs.setdefault(run, job.id)
        if job.ending:
            row.signals = {name: value for name, value in row.signals.items() if name.startswith(AFTER_THE_END)}
        return row

    async def own_run(self, run: str, job_id: str) -> bool:
        """Make a run this job's unless it is another's."""
        return self._runs.setdefault(run, job_id) == job_id

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Store a signal on a row and make it due."""
        row = self._row(job_id)
        if row is None:
            return None
        if row.job.ending is None:
            row.signals[name], row.signal_count = value, row.signal_count + 1
            if row.until <= self._clock():
                row.due = self._clock()
                self._spare.pop(job_id, None)
        return row.job

    async def cancel(self, job_id: str, note_s: float) -> Job | None:
        """Store a cancel on a row, or note it for the id."""
        if self._row(job_id) is None:
            self._cancelled[job_id] = self._clock() + note_s
        return await self.signal(job_id, CANCEL)

    async def point(self, name: str, job_id: str, seen: str, keep_s: float) -> str:
        """Let a name point to a job."""
        found, until = self._pointers.get(name, ("", 0.0))
        if found and until > self._clock() and found not in {job_id, seen}:
            return found
        self._pointers[name] = (job_id, self._clock() + keep_s)
        return job_id

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Lease the ending of a closing row."""
        row = self._row(job_id)
        if row is None or row.job.stage != Stage.CLOSING or row.taken_until > self._clock():
            return None
        row.taken_until = self._clock() + lease_s
        return row.job

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Renew the leases of endings that were taken."""
        for job_id in job_ids:
            if (row := self._row(job_id)) and row.job.stage == Stage.CLOSING:
                row.taken_until = self._clock() + lease_s

    async def withdraw(self, job_id: str, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*."""
        row = self._row(job_id)
        if row is None or row.job.stage != Stage.SENT:
            return False
        del self.rows[job_id]
        if key and self._idempotency.get(key.value, ("", ""))[0] == job_id:
            del self._idempotency[key.value]
        return True

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """Move a closing row to its ending."""
        row = self._row(job_id)
        if row and row.job.ending and not row.job.is_final:
            history = (*row.job.history, HistoryEntry(self._clock(), "closed"))
            row.job, row.fence, row.until = row.job.move(row.job.ending, history=history), row.fence + 1, 0
            row.forget_at = self._clock() + forget_in_s
            self._possible_duplicates += row.job.is_possible_duplicate
            if row.job.stage == Stage.FAILED:
                self._dead[job_id] = None

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        row = self._row(job_id)
        return row.job if row else None

    async def row(self, job_id: str) -> Row | None:
        """The job with its due time, claim and signals, or None."""
        row = self._row(job_id)
        if row is None:
            return None
        due = None if row.job.is_final else row.due
        return Row(row.job, due, row.until or None, row.fence, row.claims_since_write, dict(row.signals), row.forget_at)

    async def dead(self, limit: int = 100) -> list[Job]:
        """The failed jobs, newest first."""
        rows = [row for job_id in reversed(self._dead) if (row := self._row(job_id))]
        return [row.job for row in rows[:limit]]

    async def possible_duplicates(self) -> int:
        """How many jobs have ended with a possibly duplicate attempt."""
        return self._possible_duplicates

    async def messages_set_aside(self) -> int:
        """None: there is no broker."""
        return 0

    async def bad_rows(self) -> Mapping[str, BadRow]:
        """None: its rows are values."""
        return {}

    async def retry_bad_row(self, job_id: str) -> bool:
        """Never."""
        return False

    async def drop(self, job_id: str) -> bool:
        """Remove a job from the list of failed jobs."""
        return job_id in self._dead and self._dead.pop(job_id) is None

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""
        rows = [row.job for row in self.rows.values() if not row.job.is_final]
        return {queue: sum(job.queue == queue for job in rows) for queue in queues}

    async def ping(self) -> float:
        """The time of the given clock."""
        return self._clock()

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    def _row(self, job_id: str) -> StoredRow | None:
        row = self.rows.get(job_id)
        if row and row.forget_at is not None and row.forget_at <= self._clock():
            del self.rows[job_id]
            return None
        return row
