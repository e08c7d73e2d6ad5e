"""A claim in hand: the row as it was last written, as it is to be written next, and whether it may be let go of."""

from dataclasses import dataclass, field

from worker.jobs.job import Job, Stage
from worker.ledger.base import Claim


@dataclass
class HeldClaim:
    """A claim in hand, and what was last told of its job."""

    claim: Claim
    since: float
    job: Job = field(init=False)
    written: Job = field(init=False)  # as the ledger has it
    held_at: float = field(init=False)  # when the lease was last known to begin

    def __post_init__(self) -> None:
        self.job = self.written = self.claim.job
        self.held_at = self.since

    @property
    def is_submitting(self) -> bool:
        """Whether the POST may be out, and its ticket is not written: it is seen through, whoever has the row."""
        return Stage.SUBMITTING in {self.job.stage, self.written.stage}

    def is_where_we_left(self, found: Job) -> bool:
        """Whether the row, claimed again, is where we have it in hand; `unknown` is what others make of our POST."""
        if any((found.stage, found.attempts) == (row.stage, row.attempts) for row in (self.job, self.written)):
            return True
        made_of_ours = self.written.stage == Stage.SUBMITTING and found.stage == Stage.UNKNOWN
        return made_of_ours and found.attempts == self.written.attempts
