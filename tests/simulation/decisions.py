"""What may happen, and what does: the faults of a world, and its other random choices.

Every choice is a pure function of the seed and of its label, so one fault less does not change the others. A fault is
named by where it happens and which time: `w1 keep #3`. A schedule is the list of its faults; with that list the same
world runs again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

SCALE = 2.0**-64
FOCUS = 10.0


def uniform(seed: int, label: str) -> float:
    """A number in [0, 1) for this seed and label."""
    return int.from_bytes(blake2b(f"{seed}/{label}".encode(), digest_size=8).digest(), "big") * SCALE


@dataclass(frozen=True)
class Fault:
    """A kind of fault: how long it lasts, in seconds, and its weight among the others at a point."""

    name: str
    least_s: float = 0.0
    most_s: float = 0.0
    weight: float = 1.0


CRASH = Fault("crash")
CRASH_AFTER = Fault("crash after")  # the call takes effect, and the process dies before its answer
FREEZE = Fault("freeze", 1.0, 40.0)  # a lease is 8 s
LOST = Fault("answer lost")  # the call takes effect, and its client repeats it
REDIS_FREEZE = Fault("redis freezes", 1.0, 30.0, 0.5)
REFUSED = Fault("ledger refuses", 0.5, 15.0, 0.7)  # no connection to the ledger's Redis: `maxclients`


@dataclass
class Decisions:
    """The choices of one world. `given`: exactly these faults happen; None: the seed decides."""

    seed: int
    given: Mapping[str, str] | None = None
    rate: float = 0.0  # of a fault at a point that has one
    kinds: frozenset[str] = frozenset()  # that this world has
    focus: tuple[str, ...] = ()  # words of labels at which faults are ten times as likely
    most: int = 8  # faults of a world
    is_open: bool = True  # False: no more faults, so that the world becomes quiet
    taken: dict[str, str] = field(default_factory=dict)
    points: Counter[str] = field(default_factory=Counter)

    def chance(self, label: str) -> float:
        """A random number for the next time that this label comes."""
        self.points[f"?{label}"] += 1
        return uniform(self.seed, f"?{label}#{self.points[f'?{label}']}")

    def between(self, label: str, least: float, most: float) -> float:
        """A random number of this range."""
        return least + (most - least) * self.chance(label)

    def fault(self, label: str, faults: Sequence[Fault], boost: float = 1.0) -> tuple[str, float]:
        """The fault that happens here now, and its seconds; ("", 0) for none. `boost`: for points that come seldom."""
        self.points[label] += 1
        key = f"{label} #{self.points[label]}"
        if self.given is not None:
            return self._read(key, self.given.get(key, ""))
        if not self.is_open or len(self.taken) >= self.most:
            return "", 0.0
        if any(word in label for word in self.focus):
            boost *= FOCUS
        if uniform(self.seed, key) >= self.rate * boost:
            return "", 0.0
        allowed = [fault for fault in faults if fault.name in self.kinds]
        if not allowed:
            return "", 0.0
        at, most = uniform(self.seed, f"{key}/which"), sum(fault.weight for fault in allowed)
        for chosen in allowed:
            at -= chosen.weight / most
            if at < 0:
                break
        if not chosen.most_s:
            return self._read(key, chosen.name)
        seconds = chosen.least_s + (chosen.most_s - chosen.least_s) * uniform(self.seed, f"{key}/s")
        return self._read(key, f"{chosen.name} {seconds:.1f}")

    def _read(self, key: str, text: str) -> tuple[str, float]:
        if not text:
            return "", 0.0
        self.taken[key] = text
        words = text.split()
        if words[-1].replace(".", "", 1).isdigit():
            return " ".join(words[:-1]), float(words[-1])
        return text, 0.0
