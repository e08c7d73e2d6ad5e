"""The interface of provider health. `tests/contract/health` runs one suite over every implementation.

`acquire` is called before a submission, `record` after its answer. Each provider and each of its models has a circuit
breaker. A circuit is closed while submissions succeed. It opens after too many failures in a time window. When its time
is over it is half open: one submission, the probe, decides whether it closes, or opens again for twice as long.
A circuit that a refused key has opened is half open at once for a worker with another key.
A pause is what a provider asked for (a Retry-After). A flight is a submission under way. Probes and flights are leases:
when a worker dies, its probe and its flights end with their leases. All times are the implementation's own clock, never
a caller's.

This package does not submit, wait or retry.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.health.verdict import Verdict
from worker.routing.retry import BACKOFF_MAX_S, BACKOFF_MIN_S, PAUSE_MAX_S

WaitReason = Literal["open", "paused", "full", "probing"]
Cause = Literal["failures", "locked", "forbidden", "retired"]
CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class Permit:
    """A submission may be sent now. It is passed to `record` with the verdict; plain values, so a row can store it."""

    token: str | None = None  # None: Redis was not asked, or did not answer
    at: float = 0.0  # when it was given, seconds since the epoch; 0 when Redis did not answer
    probe: bool = False  # the verdict on this submission closes or opens a half-open circuit


@dataclass(frozen=True)
class Wait:
    """No submission may be sent now: ask again in `after_s`, or use another provider."""

    after_s: float
    why: WaitReason
    cause: Cause | None = None  # why the circuit is open


@dataclass(frozen=True)
class Change:
    """A change of a circuit. Of all replicas, one caller alone gets it returned.

    `opened` (also when an open circuit is opened again) and `closed`. `alert` means that an operator has to act; it
    comes once until the circuit closes.
    """

    kind: Literal["opened", "closed", "alert"]
    provider: str
    model: str | None = None  # None: the provider's own circuit
    cause: Cause | None = None  # why it opened
    for_s: float = 0.0  # how long it stays open


@dataclass(frozen=True)
class CircuitStatus:
    """The status of one circuit, for reading only. Times in seconds since the epoch.

    The field names are the keys in the JSON of `kilnhand providers`.
    """

    provider: str
    model: str | None
    stand: CircuitState = "closed"
    cause: Cause | None = None
    open_until: float | None = None
    failures: int = 0  # in the window
    answers: int = 0  # in the window, failures included
    paused_until: float | None = None
    in_flight: int = 0  # of the provider; its models share it


@dataclass(frozen=True)
class Policy:
    """When circuits open, and for how long; how many submissions a provider gets."""

    window_s: float = 10.0
    failures: int = 5  # fewer failures in the window never open a circuit
    ratio: float = 0.5  # a smaller share of failures among the answers never opens a circuit
    open_s: float = 5.0  # the first time; doubled by every failed probe
    open_max_s: float = 120.0
    lock_s: float = 300.0  # after a bad key, a locked account, or a model that the key may not use
    retired_s: float = 3600.0
    pause_max_s: float = PAUSE_MAX_S  # longest Retry-After that is followed: a wrong one could stop everybody
    backoff_s: float = BACKOFF_MIN_S  # the pause after a 429 without a Retry-After; doubled until an answer is good
    backoff_max_s: float = BACKOFF_MAX_S
    recheck_s: float = 1.0  # longest wait for a slot or a probe, since either may become free at any moment
    keep_s: float = 3600.0  # how long an unused circuit is kept
    concurrency: dict[str, int] = field(default_factory=dict)  # by provider; a missing provider has no limit
    rate_per_s: dict[str, float] = field(default_factory=dict)  # by provider; bursts of one second's worth

    keys: dict[str, str] = field(default_factory=dict)  # by provider: the fingerprint of its key; never the key
    listed: frozenset[tuple[str, str]] | None = None  # provider and model of the catalogue's routes; None: all are

    def is_alone(self, provider: str, model: str) -> bool:
        """Whether the model counts for itself alone, because it is not in the catalogue.

        Anybody may run an app at fal, and a caller may name any app: its answers say nothing about the provider, not
        even a 401 or 429. It waits while its provider's circuit is open, and neither opens, pauses nor probes it.
        """
        return self.listed is not None and (provider, model) not in self.listed

    def hint_s(self, verdict: Verdict) -> float:
        """The Retry-After of a verdict, at most `pause_max_s`; 0 for none."""
        return min(self.pause_max_s, max(0.0, verdict.retry_after_s or 0.0))


class Health(Protocol):
    """The health of every provider, shared by all workers."""

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """A permit for one submission now, or how long to wait. `lease_s`: longer than the submission takes.

        While a circuit is half open, one caller alone gets a permit. Every permit must be passed to `record`, even if
        nothing was sent.
        """

    async def peek(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now; None when it may be sent. Takes no slot, token or probe."""

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """Record the verdict on a submission. `permit` is None for a later call of a running job. Returns the changes.

        In a half-open circuit only the probe counts. A permit given before a circuit closed does not count afterwards.
        """

    async def states(self) -> tuple[CircuitStatus, ...]:
        """The status of every known circuit: providers by name, each followed by its models."""

    async def aclose(self) -> None:
        """Close connections."""
