"""The interface of the ledger. `tests/contract/ledger` runs one suite over every implementation.

A claim moves a row's due time forward by a lease. Only the holder of the row's highest fence may write the row; older
claims are refused.
A signal (a cancel, a webhook, a late ticket) does not interrupt a claim. It is stored on the row until the job's ending
is decided (`signals.AFTER_THE_END`: longer), and makes the row due once the claim is released.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.errors import KilnhandError
from worker.jobs.job import Job, Priority

SHARE, SHARE_S = 16, 0.5  # jobs of a queue that a tenant may begin at once before others; seconds to regain one
SPARE_DUE_S = 60.0  # when an older version claims a row beyond its tenant's share
SPARE_WAIT_S = 0.05  # when the next row beyond a share may be claimed, at the latest
FORGOTTEN_S = 86_400.0  # no row is forgotten earlier than this after it was sent
NEW_JOB_BACKDATE_S = 2.0  # a new job is due this much in the past, so that it is claimed before polls
RUN_KEPT_S = 8 * 86_400.0  # how long it is known whose a run is; a deadline is at most a week, so nobody searches later
BACKDATE_S: Mapping[Priority, float] = {"low": 0.0, "normal": NEW_JOB_BACKDATE_S, "high": 600.0}


def is_forgotten(job: Job, now: float) -> bool:
    """Whether a job without a row has ended long ago: its row was written when it was sent, and has expired."""
    return job.sent_at is not None and now - job.sent_at > FORGOTTEN_S


class UnreadableRowError(KilnhandError):
    """A row cannot be read: a newer version wrote it, or somebody has changed it."""

    code = "unreadable_row"


@dataclass(frozen=True)
class Claim:
    """A row that is held for a lease, which begins at `now`."""

    job: Job
    fence: int
    now: float  # the ledger's clock, seconds since the epoch
    claims_since_write: int = 1  # this claim included; more than one means that earlier claims ended without a write
    signals: Mapping[str, str] = field(default_factory=dict)
    signal_count: int = 0  # how many signals had come when the claim was made
    late_s: float = 0.0  # how long the row had been due


@dataclass(frozen=True)
class Row:
    """A row as it is stored, for reading only. Times are the ledger's, in seconds since the epoch."""

    job: Job
    due_at: float | None  # None for a final row
    held_until: float | None  # None when the row is not claimed
    fence: int
    claims_since_write: int
    signals: Mapping[str, str] = field(default_factory=dict)
    forgotten_at: float | None = None  # when the row expires; known for a final row only


@dataclass(frozen=True)
class BadRow:
    """Why a row was set aside, and when, in seconds since the epoch."""

    queue: str
    reason: str
    at: float


@dataclass(frozen=True)
class IdempotencyKey:
    """The first job that brings a key owns it. A later caller with the same key and request gets that job."""

    value: str
    fingerprint: str  # of the request
    keep_s: float


class Producer(Protocol):
    """The part of the ledger that a backend uses: blocking, safe to call from any thread."""

    def take_share(self, queue: str, tenant: str) -> bool:
        """Take one job of what a tenant may send to a queue before others. False when its share is used up."""

    def send(self, job: Job, wait_s: float, key: IdempotencyKey | None = None) -> str:
        """Write a row at stage *sent*, due after `wait_s` unless a worker accepts it first. Returns the job's id.

        If another job owns the key, its id is returned and nothing is written. Raises `KeyReusedError` when that job
        was asked for something else. An existing row is not changed.
        """

    def withdraw(self, job: Job, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*, and its key.

        False when a worker has claimed the row, or a second caller was given this job for the same key.
        """

    def cancel(self, job_id: str, note_s: float) -> Job | None:
        """See `Ledger.cancel`."""

    def row(self, job_id: str) -> Row | None:
        """See `Ledger.row`."""

    def now(self) -> float:
        """The ledger's clock, seconds since the epoch."""


class Ledger(Protocol):
    """All rows."""

    async def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row and make it due, unless a row of this id is past *sent*.

        Returns whether the row is new, and its job. A new row is due in the past (`BACKDATE_S`, by its priority), so it
        is claimed before rows that came due more recently.

        A job that was sent longer ago than `FORGOTTEN_S` and has no row has ended and was forgotten: it is not written
        anew, and counts as not new.

        `created_at` comes from the ledger's clock, `sent_at` and the history from the sent row, if there is one.
        If another job of the same request owns the key, nothing is written and that job is returned, as not new. Raises
        `KeyReusedError` when it was asked for something else.
        """

    async def claim(
        self, queues: Sequence[str], limit: int, lease_s: float, spare: int | None = None
    ) -> tuple[list[Claim], float | None]:
        """Claim up to `limit` due rows of these queues.

        A tenant that sends more than its share (`SHARE`, then one job every `SHARE_S` seconds) does not delay others:
        its further rows are claimed last, and at most `spare` of them (None: no limit of their own).

        Returns the claims, and the seconds until the next row is due (None: no row waits). A row of a newer version is
        left where it is, for a worker of that version. A row that cannot be read is set aside: see `bad_rows`.
        """

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Extend the claim of each (job id, fence) to at least a lease. Returns the ids whose claim is lost."""

    async def cancelled(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs whose rows have a cancel by now. For rows that are claimed."""

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and extend the claim. Raises `ClaimLostError` when a newer claim exists."""

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and end the claim. The row is due after `due_in_s`, or at once if a signal came meanwhile.

        Raises `ClaimLostError`.
        """

    async def own_run(self, run: str, job_id: str) -> bool:
        """Make a run (`jobs.job.run_name`) this job's unless it is another's. Returns whether it is this job's.

        `keep` and `release` do the same for a ticket that is new on the row (`Job.new_run`), in the same atomic step.
        """

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Store a signal on a row whose ending is open, and make it due. Returns the job; None when there is no row."""

    async def cancel(self, job_id: str, note_s: float) -> Job | None:
        """Store a cancel on a row, like any signal.

        Without a row it is noted for `note_s`, and None is returned. A row of this id that is written in that time has
        the cancel from its beginning.
        """

    async def point(self, name: str, job_id: str, seen: str, keep_s: float) -> str:
        """Let a name point to a job, unless it points to another one than `seen` (empty: to none).

        Returns the id that it points to now. It is forgotten `keep_s` after it was last moved.
        """

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Lease the ending of a closing row. None when the row is not closing, or another delivery has the lease."""

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Renew the leases of endings that were taken."""

    async def withdraw(self, job_id: str, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*, and its key. False when the row is past that."""

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """Move a closing row to its decided ending. Any other row is not changed; safe to repeat."""

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""

    async def row(self, job_id: str) -> Row | None:
        """The job with its due time, claim and signals, or None."""

    async def dead(self, limit: int = 100) -> list[Job]:
        """The failed jobs, newest first, as long as their rows are kept."""

    async def possible_duplicates(self) -> int:
        """How many jobs have ended with a possibly duplicate attempt since Redis was emptied. Each is counted once."""

    async def messages_set_aside(self) -> int:
        """How many broker messages could not be read since Redis was emptied (`worker.ledger.dead_messages`)."""

    async def bad_rows(self) -> Mapping[str, BadRow]:
        """The rows that were set aside because they cannot be read, by id. They are not due, and stay as they are."""

    async def retry_bad_row(self, job_id: str) -> bool:
        """Make a row that was set aside due again, once it is repaired. False when it is not among them."""

    async def drop(self, job_id: str) -> bool:
        """Remove a job from the list of failed jobs; its row stays. False when it is not on the list."""

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""

    async def ping(self) -> float:
        """The ledger's clock, seconds since the epoch. Raises when the ledger cannot be reached."""

    async def aclose(self) -> None:
        """Close connections."""
