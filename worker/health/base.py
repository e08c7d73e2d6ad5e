"""What the health of providers promises. `tests/contract/health` runs one suite over every implementation.

Before a submission it is asked, after an answer it is told. A *circuit* stands before a provider and before each of its
models. It is closed while all is well, open after too many failures in a window of time, and half open when its time
is up: then one submission, the probe, decides whether it closes or opens for twice as long. A *pause* is what a
provider has asked for; a *flight* is a submission under way. Probe and flight are leases: whoever dies with one is
replaced when it ends. All times are the implementation's own clock, never a caller's.

Nothing here submits, waits or tries again.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.health.verdict import Verdict
from worker.routing.retry import BACKOFF_MAX_S, BACKOFF_MIN_S, PAUSE_MAX_S

Why = Literal["open", "paused", "full", "probing"]
Cause = Literal["failures", "locked", "forbidden", "retired"]
Stand = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class Permit:
    """A submission may go now. Handed back with what came of it; it survives a row, being nothing but values."""

    token: str | None = None  # None: the health could not be asked
    at: float = 0.0  # when it was asked, seconds since the epoch; 0 when it could not be
    probe: bool = False  # what comes of it decides about a circuit


@dataclass(frozen=True)
class Wait:
    """Not now: ask again in `after_s`, or go elsewhere."""

    after_s: float
    why: Why


@dataclass(frozen=True)
class Change:
    """Something is otherwise than before, returned to one caller alone of all replicas.

    `opened` (again, too) and `closed` of a circuit; `alert`, once until the circuit closes: somebody has to act.
    """

    kind: Literal["opened", "closed", "alert"]
    provider: str
    model: str | None = None  # None: the provider's own circuit
    cause: Cause | None = None  # of what opened
    for_s: float = 0.0  # how long it is open


@dataclass(frozen=True)
class State:
    """A circuit as it stands, for whoever only looks at it. Times in seconds since the epoch."""

    provider: str
    model: str | None
    stand: Stand = "closed"
    cause: Cause | None = None
    open_until: float | None = None
    failures: int = 0  # in the window
    answers: int = 0  # in the window, failures among them
    paused_until: float | None = None
    in_flight: int = 0  # of a provider; models share it


@dataclass(frozen=True)
class Policy:
    """When circuits open, and for how long; how much a provider is given at a time."""

    window_s: float = 10.0
    failures: int = 5  # fewer in the window never open a circuit
    ratio: float = 0.5  # nor does a smaller part of the answers
    open_s: float = 5.0  # the first time; doubled by every probe that fails
    open_max_s: float = 120.0
    lock_s: float = 300.0  # after a bad key, a locked account, a model that is not ours to use
    retired_s: float = 3600.0
    pause_max_s: float = PAUSE_MAX_S  # what a Retry-After is believed: a wrong one must not stop everybody for a day
    backoff_s: float = BACKOFF_MIN_S  # the pause of a provider that names none; doubled until it answers well
    backoff_max_s: float = BACKOFF_MAX_S
    again_s: float = 1.0  # when to ask again for what may be free at any moment
    keep_s: float = 3600.0  # how long a circuit is remembered that nobody asks for
    concurrency: dict[str, int] = field(default_factory=dict)  # by provider; none: as many as come
    rate_per_s: dict[str, float] = field(default_factory=dict)  # by provider, a second's worth at once

    def hint_s(self, verdict: Verdict) -> float:
        """The Retry-After of a verdict, as far as it is believed; 0 for none."""
        return min(self.pause_max_s, max(0.0, verdict.retry_after_s or 0.0))


class Health(Protocol):
    """How well every provider is, as all workers know it."""

    async def ask(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """Whether a submission may go now. `lease_s`: longer than the submission takes.

        Of all who ask while a circuit is half open one gets `Permit`. Who got it tells what came of it, even nothing.
        """

    async def shut(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now; None when it may go. Nothing is taken: `ask` decides."""

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """What came of a submission, or of a run that had none of its own (`permit` None). Returns what it changed.

        In a half-open circuit the probe alone counts. What was asked before a circuit closed says nothing about it now.
        """

    async def states(self) -> tuple[State, ...]:
        """Every circuit that is remembered: providers by name, each followed by its models."""

    async def aclose(self) -> None:
        """Close connections."""
