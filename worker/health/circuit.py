"""A circuit in memory, as tell.lua has it in Redis. No clock of its own."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.health.base import Cause, Policy
from worker.health.hash import SLOTS

NEVER = ("", float("-inf"))

Turned = tuple[str, Cause | None, float]  # kind of a change, cause, open for in seconds


@dataclass
class Circuit:
    """One circuit. `is_whole`: the provider's, which the failures of one model alone do not open."""

    policy: Policy
    is_whole: bool = False
    until: float = 0.0
    opens: int = 0
    cause: Cause | None = None
    probe: str | None = None
    probe_until: float = 0.0
    alerted: bool = False
    closed_at: float = 0.0
    paused: float = 0.0
    pauses: int = 0
    last: tuple[str, float] = NEVER  # the model that failed last, and when
    mixed: float = NEVER[1]  # when that was last another one than before
    answers: deque[tuple[int, bool]] = field(default_factory=deque)  # slot, good

    def count(self, good: bool, model: str, now: float, hint_s: float) -> Iterator[Turned]:
        """An answer while it is closed."""
        self.answers.append((self._slot(now), good))
        if good:
            return
        if self.last[0] not in {"", model} and self.last[1] > now - self.policy.window_s:
            self.mixed = now
        self.last = (model, now)
        bad, every = self.failures(now), self.every(now)
        is_mixed = not self.is_whole or self.mixed > now - self.policy.window_s
        if is_mixed and bad >= self.policy.failures and bad / every >= self.policy.ratio:
            yield from self.fail(now, hint_s)

    def fail(self, now: float, hint_s: float) -> Iterator[Turned]:
        """Too many failures, or a probe that failed."""
        self.opens += 1
        for_s = min(self.policy.open_max_s, self.policy.open_s * 2.0 ** (self.opens - 1))
        yield self.open("failures", max(hint_s, for_s), now)

    def open(self, cause: Cause, for_s: float, now: float) -> Turned:
        """Nobody may go for so long."""
        self.until, self.cause, self.probe, self.probe_until = now + for_s, cause, None, 0.0
        return ("opened", cause, for_s)

    def shut(self, cause: Cause, for_s: float, now: float) -> Iterator[Turned]:
        """One answer is enough; somebody has to act, unless the model is gone for good."""
        if self.until <= now or (self.cause != cause and self.until < now + for_s):
            yield self.open(cause, for_s, now)
        if cause != "retired" and not self.alerted:
            self.alerted = True
            yield ("alert", cause, for_s)

    def close(self, now: float) -> Turned:
        """All is well; what was counted before is forgotten."""
        self.until, self.opens, self.cause, self.alerted, self.closed_at = 0.0, 0, None, False, now
        self.probe, self.probe_until, self.last, self.mixed = None, 0.0, NEVER, NEVER[1]
        self.answers.clear()
        return ("closed", None, 0.0)

    def failures(self, now: float) -> int:
        """Failures in the window."""
        oldest = self._slot(now) - SLOTS
        return sum(not good for slot, good in self.answers if slot > oldest)

    def every(self, now: float) -> int:
        """Answers in the window."""
        oldest = self._slot(now) - SLOTS
        return sum(slot > oldest for slot, _ in self.answers)

    def _slot(self, now: float) -> int:
        while self.answers and self.answers[0][0] <= int(now // (self.policy.window_s / SLOTS)) - SLOTS:
            self.answers.popleft()
        return int(now // (self.policy.window_s / SLOTS))
