"""What a ledger promises. `tests/contract/ledger` runs one suite over every implementation.

A claim is only a due time moved forward: whoever holds the highest fence of a row may write it, everybody else is
refused.
A signal (a cancel, a webhook, a late ticket) never disturbs a claim: it stays on the row until its ending is decided,
and makes it due once the claim is let go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.jobs.job import Job

AHEAD_S = 2.0  # of what is looked at again goes what is to be begun


@dataclass(frozen=True)
class Claim:
    """A row held for a lease from `now` on."""

    job: Job
    fence: int
    now: float  # the ledger's clock, seconds since the epoch
    strikes: int = 1  # claims in a row, this one included, since the last write
    signals: Mapping[str, str] = field(default_factory=dict)
    heard: int = 0  # how many signals had come when the claim was made
    late_s: float = 0.0  # how long it had been due


@dataclass(frozen=True)
class Row:
    """A row as it stands, for whoever only looks at it. Times are the ledger's, in seconds since the epoch."""

    job: Job
    due_at: float | None  # None once it is final
    held_until: float | None  # None when nobody holds it
    fence: int
    strikes: int
    signals: Mapping[str, str] = field(default_factory=dict)
    forgotten_at: float | None = None  # known once it is final


@dataclass(frozen=True)
class IdempotencyKey:
    """An idempotency key: whoever comes second with it gets the job of the first, if he asks for the same."""

    key: str
    of: str  # a fingerprint of what is asked for
    keep_s: float


class Producer(Protocol):
    """The part of a ledger that a backend uses, blocking, from any thread."""

    def send(self, job: Job, wait_s: float, once: IdempotencyKey | None = None) -> str:
        """Write a row at stage *sent*, due after `wait_s` unless a worker accepts it before. Returns the job's id.

        That is another job's when the key was used before. Raises `KeyReusedError` when that one asked for something
        else. A row that is there stays as it is.
        """

    def withdraw(self, job: Job, once: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent* and nobody's concern, its key too.

        False when a worker has claimed it, or another caller has been given it for the same key.
        """

    def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """See `Ledger.signal`."""

    def row(self, job_id: str) -> Row | None:
        """See `Ledger.row`."""

    def now(self) -> float:
        """The ledger's clock, seconds since the epoch."""


class Ledger(Protocol):
    """All rows."""

    async def accept(self, job: Job, once: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row and make it due, unless one of this id is past *sent*. Returns whether it is new, and the row.

        It is claimed before rows that have been due for less than `AHEAD_S`.

        `created_at` is taken from the ledger's clock, what is known of the sending from the row that was sent.
        Raises `KeyReusedError` when another job has the key.
        """

    async def claim(self, queues: Sequence[str], limit: int, lease_s: float) -> tuple[list[Claim], float | None]:
        """Take up to `limit` due rows of these queues; and the seconds until another is due (None: nothing waits).

        A row that cannot be read (a newer version wrote it) is left for somebody who can.
        """

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Hold each (job id, fence) for another lease. Returns the ids of those that somebody else holds by now."""

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and go on holding it. Raises `ClaimLostError` when a newer claim exists."""

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and let it go, due again after `due_in_s`; at once when a signal came meanwhile.

        Raises `ClaimLostError`.
        """

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Leave a signal on a row whose ending is open, and make it due. Returns the row; None when there is none."""

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Take the ending of a closing row; None when it is not closing, or somebody took it less than a lease ago."""

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Go on holding endings that were taken."""

    async def withdraw(self, job_id: str, once: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*, its key too; False when it is past that."""

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """End a row that is closing by its own ending. Any other row stays as it is; safe to repeat."""

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""

    async def row(self, job_id: str) -> Row | None:
        """The job with what the ledger keeps beside it, or None."""

    async def dead(self, limit: int = 100) -> list[Job]:
        """The jobs that failed, newest first, as long as their rows are kept."""

    async def drop(self, job_id: str) -> bool:
        """Take a job from the list of the failed; its row stays. False when it is not there."""

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""

    async def ping(self) -> float:
        """The ledger's clock, seconds since the epoch; raises when it cannot be reached."""

    async def aclose(self) -> None:
        """Close connections."""
