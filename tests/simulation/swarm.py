"""Which kinds of faults a world has, and how often: each seed has its own few, so that rare ones meet."""

from tests.simulation import at_once, broker, decisions, fal, fal_transport, files, gateway
from tests.simulation.decisions import Fault, uniform

CRASH_POINT_FAULTS = (decisions.CRASH,)
RATES = (0.004, 0.012, 0.035, 0.1)


def all_faults() -> tuple[Fault, ...]:
    """Every kind of fault."""
    found: dict[str, Fault] = {}
    for module in (decisions, at_once, broker, fal, fal_transport, files, gateway):
        found |= {fault.name: fault for fault in vars(module).values() if isinstance(fault, Fault)}
    return tuple(found.values())


NAMES = tuple(fault.name for fault in all_faults())


def swarm(seed: int) -> tuple[float, frozenset[str]]:
    """The rate of faults, and their kinds."""
    rate = RATES[int(uniform(seed, "swarm rate") * len(RATES))]
    share = 0.15 + 0.6 * uniform(seed, "swarm share")
    return rate, frozenset(name for name in NAMES if uniform(seed, f"swarm {name}") < share)
