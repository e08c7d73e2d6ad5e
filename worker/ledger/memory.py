"""The ledger in memory, for tests of what stands above it: the same promises, with a clock that the test winds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.errors import ClaimLostError
from worker.job import Job, Stage
from worker.ledger.base import Claim


@dataclass
class _Row:
    job: Job
    due: float
    fence: int = 0
    strikes: int = 0
    until: float = 0
    heard: int = 0
    taken: float = 0
    signals: dict[str, str] = field(default_factory=dict)
    forget_at: float | None = None


class MemoryLedger:
    """See `worker.ledger.base.Ledger`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}

    async def accept(self, job: Job) -> tuple[bool, Job]:
        """Write the row unless there is one of this id."""
        if row := self._row(job.id):
            return False, row.job
        job = replace(job, created_at=self._clock())
        self._rows[job.id] = _Row(job, due=self._clock())
        return True, job

    async def claim(self, queues: Sequence[str], limit: int, lease_s: float) -> tuple[list[Claim], float | None]:
        """Take due rows of these queues."""
        now = self._clock()
        waiting = [row for row in self._rows.values() if row.job.queue in queues and not row.job.is_final]
        ready = sorted((row for row in waiting if row.due <= now), key=lambda r: (queues.index(r.job.queue), r.due))
        claims = []
        for row in ready[:limit]:
            row.fence, row.strikes, row.until, row.due = row.fence + 1, row.strikes + 1, now + lease_s, now + lease_s
            claims.append(Claim(row.job, row.fence, now, row.strikes, dict(row.signals), row.heard))
        return claims, min((max(0.0, row.due - now) for row in waiting), default=None)

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Hold these rows for another lease."""
        lost = set()
        for job_id, fence in held:
            row = self._row(job_id)
            if row is None or row.fence != fence:
                lost.add(job_id)
            elif row.until:
                row.until = row.due = self._clock() + lease_s
        return lost

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and go on holding it."""
        row = self._held(claim, job)
        row.until = row.due = self._clock() + lease_s

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and let it go."""
        row = self._held(claim, job)
        row.until = 0
        row.due = self._clock() + (0 if row.heard != claim.heard else due_in_s)

    def _held(self, claim: Claim, job: Job) -> _Row:
        row = self._row(job.id)
        if row is None or row.fence != claim.fence:
            raise ClaimLostError(f"job {job.id}: another worker holds the row since fence {claim.fence}")
        row.job, row.strikes = job, 0
        return row

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Leave a signal on a row and make it due."""
        row = self._row(job_id)
        if row is None:
            return None
        if row.job.ending is None:
            row.signals[name], row.heard = value, row.heard + 1
            row.due = row.due if row.until > self._clock() else self._clock()
        return row.job

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Take the ending of a closing row."""
        row = self._row(job_id)
        if row is None or row.job.stage != Stage.CLOSING or row.taken > self._clock():
            return None
        row.taken = self._clock() + lease_s
        return row.job

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """End a row that is closing."""
        row = self._row(job_id)
        if row and row.job.ending and not row.job.is_final:
            row.job, row.fence, row.until = row.job.move(row.job.ending), row.fence + 1, 0
            row.forget_at = self._clock() + forget_in_s

    async def get(self, job_id: str) -> Job | None:
        """The row, or None."""
        row = self._row(job_id)
        return row.job if row else None

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""
        rows = [row.job for row in self._rows.values() if not row.job.is_final]
        return {queue: sum(job.queue == queue for job in rows) for queue in queues}

    async def ping(self) -> float:
        """The clock it was given."""
        return self._clock()

    async def aclose(self) -> None:
        """Nothing is open."""

    def _row(self, job_id: str) -> _Row | None:
        row = self._rows.get(job_id)
        if row and row.forget_at is not None and row.forget_at <= self._clock():
            del self._rows[job_id]
            return None
        return row
