"""One circuit breaker in memory; record.lua does the same in Redis. The caller passes the time."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.health.base import Cause, Policy
from worker.health.hash import SLOTS

NEVER = float("-inf")

CircuitChange = tuple[str, Cause | None, float]  # kind of the change, cause, seconds that it stays open


@dataclass
class Circuit:
    """One circuit. `is_provider`: the provider's own, which stays closed while one model alone fails."""

    policy: Policy
    is_provider: bool = False
    until: float = 0.0
    opens: int = 0
    cause: Cause | None = None
    key: str = ""  # fingerprint of the key that opened it
    probe: str | None = None
    probe_until: float = 0.0
    alerted: bool = False
    closed_at: float = 0.0
    paused: float = 0.0
    pauses: int = 0
    last_failure: tuple[str, float] = ("", NEVER)  # model, time
    mixed_at: float = NEVER  # last time that a failure was of another model than the failure before it
    answers: deque[tuple[int, bool]] = field(default_factory=deque)  # slot, good

    def count(self, good: bool, model: str, now: float, hint_s: float) -> Iterator[CircuitChange]:
        """Count an answer while the circuit is closed; open it after too many failures."""
        self.answers.append((self._slot(now), good))
        if good:
            return
        if self.last_failure[0] not in {"", model} and self.last_failure[1] > now - self.policy.window_s:
            self.mixed_at = now
        self.last_failure = (model, now)
        bad, total = self.failures(now), self.total(now)
        is_mixed = not self.is_provider or self.mixed_at > now - self.policy.window_s
        if is_mixed and bad >= self.policy.failures and bad / total >= self.policy.ratio:
            yield from self.fail(now, hint_s)

    def fail(self, now: float, hint_s: float) -> Iterator[CircuitChange]:
        """Open after too many failures or a failed probe, each time for twice as long."""
        self.opens += 1
        for_s = min(self.policy.open_max_s, self.policy.open_s * 2.0 ** (self.opens - 1))
        yield self.open("failures", max(hint_s, for_s), now)

    def open(self, cause: Cause, for_s: float, now: float) -> CircuitChange:
        """Open for `for_s`, without a probe."""
        self.until, self.cause, self.probe, self.probe_until, self.key = now + for_s, cause, None, 0.0, ""
        return ("opened", cause, for_s)

    def open_at_once(self, cause: Cause, for_s: float, now: float, key: str) -> Iterator[CircuitChange]:
        """Open after a single answer. Alert an operator, except for a retired model: nobody can bring it back."""
        is_other_key = bool(self.key) and self.key != key
        if self.until <= now or is_other_key or (self.cause != cause and self.until < now + for_s):
            yield self.open(cause, for_s, now)
            self.key = "" if cause == "retired" else key
        if cause != "retired" and (not self.alerted or is_other_key):
            self.alerted = True
            yield ("alert", cause, for_s)

    def close(self, now: float) -> CircuitChange:
        """Close, and forget what was counted before."""
        self.until, self.opens, self.cause, self.alerted, self.closed_at = 0.0, 0, None, False, now
        self.probe, self.probe_until, self.last_failure, self.mixed_at = None, 0.0, ("", NEVER), NEVER
        self.key = ""
        self.answers.clear()
        return ("closed", None, 0.0)

    def is_open(self, now: float, key: str) -> bool:
        """Whether it is open for a worker with this key: a refused key says nothing about another one."""
        return self.until > now and not (key and self.key and self.key != key)

    def failures(self, now: float) -> int:
        """Failures in the window."""
        oldest = self._slot(now) - SLOTS
        return sum(not good for slot, good in self.answers if slot > oldest)

    def total(self, now: float) -> int:
        """Answers in the window."""
        oldest = self._slot(now) - SLOTS
        return sum(slot > oldest for slot, _ in self.answers)

    def _slot(self, now: float) -> int:
        while self.answers and self.answers[0][0] <= int(now // (self.policy.window_s / SLOTS)) - SLOTS:
            self.answers.popleft()
        return int(now // (self.policy.window_s / SLOTS))
