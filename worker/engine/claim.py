"""A claim that this process holds: the row as it was last written, and as it is to be written next."""

from dataclasses import dataclass, field

from worker.jobs.job import Job, Stage
from worker.ledger.base import Claim


@dataclass
class HeldClaim:
    """A claim and the job it is for."""

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
        """Whether the POST may be out and its ticket is not written. Then it goes on, even if the claim is lost."""
        return Stage.SUBMITTING in {self.job.stage, self.written.stage}

    def is_where_we_left(self, found: Job) -> bool:
        """Whether a row that we claimed again is where we left it. `unknown` is what others make of our open POST."""
        if any((found.stage, found.attempts) == (row.stage, row.attempts) for row in (self.job, self.written)):
            return True
        made_of_ours = self.written.stage == Stage.SUBMITTING and found.stage == Stage.UNKNOWN
        return made_of_ours and found.attempts == self.written.attempts
