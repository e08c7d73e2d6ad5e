"""What the providers of a world know: every submission that they took, and what they billed."""

from dataclasses import dataclass, field
from typing import Any

DIED = "process died in the call"


@dataclass
class Paid:
    """A submission that a provider took."""

    provider: str
    job: str
    attempt: int
    at: float
    request_id: str
    how: str = ""  # what became of its answer; "" for an answer that arrived
    usd: float = 0.0  # 0 until it is billed
    is_cancelled: bool = False
    process: Any = None  # whose call it is, where the answer comes in the call


@dataclass
class Payments:
    """All submissions, in the order in which they were taken."""

    taken: list[Paid] = field(default_factory=list)

    def of(self, job: str) -> list[Paid]:
        """Those of a job."""
        return [paid for paid in self.taken if paid.job == job]
