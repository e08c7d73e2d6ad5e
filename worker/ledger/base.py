"""What a ledger promises. `tests/contract/ledger` runs one suite over every implementation.

A claim is only a due time moved forward: whoever holds the highest fence of a row may write it, everybody else is
refused.
A signal (cancel, later webhooks) never disturbs a claim: it stays on the row and makes it due once the claim is let go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.job import Job


@dataclass(frozen=True)
class Claim:
    """A row held for a lease from `now` on."""

    job: Job
    fence: int
    now: float  # the ledger's clock, seconds since the epoch
    strikes: int = 1  # claims in a row, this one included, since the last write
    signals: Mapping[str, str] = field(default_factory=dict)
    heard: int = 0  # how many signals had come when the claim was made


class Ledger(Protocol):
    """All rows."""

    async def accept(self, job: Job) -> tuple[bool, Job]:
        """Write the row and make it due, unless there is one of this id. Returns whether it is new, and the row.

        `created_at` is taken from the ledger's clock.
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

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """End a row that is closing by its own ending. Any other row stays as it is; safe to repeat."""

    async def get(self, job_id: str) -> Job | None:
        """The row, or None."""

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""

    async def ping(self) -> float:
        """The ledger's clock, seconds since the epoch; raises when it cannot be reached."""

    async def aclose(self) -> None:
        """Close connections."""
