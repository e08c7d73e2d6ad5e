"""How many jobs beyond their tenant's share a worker begins now: as many as it has spare capacity for.

A worker is busy when its event loop is slow or when rows are claimed late. Then it begins one such job a second, so
that none waits for ever, and the jobs of others keep their latency.
"""

from collections.abc import Callable, Iterable

from worker.jobs.job import Stage
from worker.ledger.base import Claim

PART = 4  # such jobs get one part of the claims of a worker that is not busy
TURN_S = 0.05  # a turn of the event loop of a busy worker takes longer
LATE_S = 0.5  # rows are claimed so late when all workers are busy; an idle worker sees a row within 0.25 s
BUSY_S = 1.0  # how long a worker counts as busy after it was seen to be


class SpareCapacity:
    """What one worker knows about its load."""

    def __init__(self, max_claims: int, monotonic: Callable[[], float]) -> None:
        self._most, self._monotonic = max_claims // PART, monotonic
        self._busy_until = self._begun_at = float("-inf")

    def rows(self, held: int) -> int:
        """How many such rows to claim now, while so many claims are held."""
        now = self._monotonic()
        if now >= self._busy_until:
            return max(1, self._most - held)
        if now - self._begun_at < BUSY_S:
            return 0
        self._begun_at = now
        return 1

    def noted(self, turn_s: float, claims: Iterable[Claim]) -> None:
        """Take note of a turn of the event loop, and of the claims after it."""
        if turn_s > TURN_S or any(claim.late_s > LATE_S for claim in claims if not _is_new(claim)):
            self._busy_until = self._monotonic() + BUSY_S


def _is_new(claim: Claim) -> bool:
    """Whether it was never begun: new rows are back-dated, and those beyond a share wait for as long as they must."""
    return claim.job.stage in {Stage.SENT, Stage.ACCEPTED} and not claim.job.attempts
