"""What the worlds of a run have reached: moves of the stage table, crash points, kinds of faults. The rest is a hole."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.swarm import NAMES
from tests.simulation.world import Course
from worker.jobs.job import MOVES, Stage
from worker.testing.crash import POINTS


@dataclass
class Coverage:
    """Counts of worlds."""

    moves: Counter[tuple[Stage, Stage]] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)  # by crash point
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, course: Course) -> None:
        """Count a world."""
        self.moves.update(course.moves)
        self.points.update(course.points)
        for where, what in course.faults.items():
            self.faults[what.rstrip(".0123456789").strip()] += 1
            if " at " in where:
                self.crashes[where.split(" at ")[1].split(" #")[0]] += 1

    def merge(self, other: "Coverage") -> None:
        """Add the counts of another process."""
        for name in ("moves", "points", "crashes", "faults"):
            getattr(self, name).update(getattr(other, name))

    def holes(self) -> dict[str, list[str]]:
        """What no world has reached."""
        allowed = {(before, after) for before, afters in MOVES.items() for after in afters}
        return {
            "moves": sorted(f"{before}>{after}" for before, after in allowed - set(self.moves)),
            "points": [name for name in POINTS if not self.points[name]],
            "crashes": [name for name in POINTS if self.points[name] and not self.crashes[name]],
            "faults": [name for name in NAMES if not self.faults[name]],
        }

    def reached(self) -> dict[str, str]:
        """How much was reached."""
        allowed = {(before, after) for before, afters in MOVES.items() for after in afters}
        return {
            "moves": f"{len(allowed & set(self.moves))} of {len(allowed)}",
            "points": f"{sum(bool(self.points[name]) for name in POINTS)} of {len(POINTS)}",
            "crashes": f"{sum(bool(self.crashes[name]) for name in POINTS)} of {len(POINTS)}",
            "faults": f"{sum(bool(self.faults[name]) for name in NAMES)} of {len(NAMES)}",
        }
