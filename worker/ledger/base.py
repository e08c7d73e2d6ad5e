"""What a ledger promises. `tests/contract/ledger` runs one suite over every implementation.

A claim is only a due time moved forward: whoever holds the highest fence of a row may write it, everybody else is refused.
A signal (cancel, later webhooks) never disturbs a claim: it is left on the row and makes it due once the claim is let go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.job import Job


@dataclass(frozen=True)
class Claim:
    """A row held for `lease_s` from `now`. `strikes` counts claims in a row that ended without a write."""

    job: Job
    fence: int
    now: float  # the ledger's clock, seconds since the epoch
    strikes: int
    signals: Mapping[str, str]


class Ledger(Protocol):
    """All rows."""

    async def accept(self, job: Job) -> tuple[bool, Job]:
        """Write the row and make it due, unless there is one of this id. Returns whether it is new, and the row as it stands.

        `created_at` is set from the ledger's clock.
        """

    async def claim(self, queues: Sequence[str], limit: int, lease_s: float) -> tuple[list[Claim], float | None]:
        """Take up to `limit` due rows of these queues; and the seconds until the next one is due (None: there is none)."""

    async def renew(self, claims: Sequence[tuple[str, str, int]], lease_s: float) -> set[str]:
        """Hold (queue, job id, fence) for another lease. Returns the ids of those that were lost."""

    async def keep(self, job: Job, fence: int, lease_s: float) -> None:
        """Write the row and go on holding it. Raises `ClaimLostError` when a newer claim exists."""

    async def release(self, job: Job, fence: int, due_in_s: float | None, keep_s: float) -> None:
        """Write the row and let it go, due again after `due_in_s`, or at once if a signal came meanwhile.

        A row released in a final stage is never due again and is forgotten after `keep_s`. Raises `ClaimLostError`.
        """

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Leave a signal on a row that is not final and make it due. Returns the row, None when there is none."""

    async def confirm(self, job_id: str, keep_s: float) -> None:
        """End a row in `closing` by its own ending. Anything else is left as it is; safe to repeat."""

    async def get(self, job_id: str) -> Job | None:
        """The row, or None."""

    async def stats(self) -> Mapping[str, Any]:
        """How many rows are in flight, by queue."""

    async def aclose(self) -> None:
        """Close connections."""
