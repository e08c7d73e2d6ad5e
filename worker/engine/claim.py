"""A claim that this process holds: the row as it was last written, and as it is to be written next."""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.jobs.job import Job, Stage
from worker.ledger.base import Claim


@dataclass
class HeldClaim:
    """A claim and the job it is for."""

    claim: Claim
    monotonic: Callable[[], float]
    since: float = field(init=False)  # when the claim came, by this process's clock
    job: Job = field(init=False)
    written: Job = field(init=False)  # as the ledger has it
    held_at: float = field(init=False)  # when the lease was last known to begin

    def __post_init__(self) -> None:
        self.job = self.written = self.claim.job
        self.since = self.held_at = self.monotonic()

    def now(self) -> float:
        """The ledger's time, without asking it: the claim's, plus what has passed since."""
        return self.claim.now + self.monotonic() - self.since

    def replace_claim(self, claim: Claim) -> None:
        """The same row under a newer claim of this process."""
        self.claim, self.since = claim, self.monotonic()

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
