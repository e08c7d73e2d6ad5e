"""Which kinds of faults a world has, and how often: each seed has its own few, so that rare ones meet."""

from dataclasses import dataclass

from tests.simulation import at_once, broker, decisions, fal, fal_transport, files, gateway
from tests.simulation.decisions import Fault, uniform

SIGTERM = "SIGTERM"  # of `worker_process`
CRASH_POINT_FAULTS = (decisions.CRASH,)
RATES = (0.003, 0.01, 0.03, 0.08)


def all_faults() -> tuple[Fault, ...]:
    """Every kind of fault."""
    found: dict[str, Fault] = {SIGTERM: Fault(SIGTERM)}
    for module in (decisions, at_once, broker, fal, fal_transport, files, gateway):
        found |= {fault.name: fault for fault in vars(module).values() if isinstance(fault, Fault)}
    return tuple(found.values())


NAMES = tuple(fault.name for fault in all_faults())  # without those of `lost_writes`


FOCI = (
    "fal submit", "fal list", "webhook", "vertex", "producer", "accept", "take", "confirm", "closing message", "resend",
    "cancel", "write_submitting", "keep", "state", "put", "results", "caller", "message of",
)  # fmt: skip


@dataclass(frozen=True)
class Swarm:
    """The faults of a world: their rate, their kinds, and where they come most."""

    rate: float
    kinds: frozenset[str]
    focus: tuple[str, ...]


def swarm(seed: int) -> Swarm:
    """Those of a seed."""
    rate = RATES[int(uniform(seed, "swarm rate") * len(RATES))]
    share = 0.15 + 0.6 * uniform(seed, "swarm share")
    kinds = frozenset(name for name in NAMES if uniform(seed, f"swarm {name}") < share)
    return Swarm(rate, kinds, tuple(word for word in FOCI if uniform(seed, f"focus {word}") < 0.15))
