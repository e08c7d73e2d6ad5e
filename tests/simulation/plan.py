"""What happens in a world when nothing fails: its workers, the jobs and when they are sent, cancelled or revoked."""

from dataclasses import dataclass
from typing import Any, Literal

from tests.simulation.decisions import uniform

Kind = Literal["job", "bare", "chain", "chord"]


@dataclass(frozen=True)
class Order:
    """One call of a caller. A chain has two jobs, a chord two parts and a body."""

    name: str
    kind: Kind = "job"
    provider: str = "fal"
    at_s: float = 0.0
    stop: str = ""  # how it is stopped: "cancel" or "revoke"
    stop_s: float = 0.0  # seconds after it was sent
    deadline_s: float | None = None
    duplicates: str | None = None  # the option
    is_video: bool = False  # a minute of work instead of seconds, with a file that is stored in a step of its own

    @property
    def jobs(self) -> tuple[str, ...]:
        """The ids of its jobs, in the order in which they run."""
        if self.kind == "chain":
            return (f"{self.name}a", f"{self.name}b")
        if self.kind == "chord":
            return (f"{self.name}a", f"{self.name}b", f"{self.name}c")
        return (self.name,)


@dataclass(frozen=True)
class Plan:
    """A world without its faults."""

    workers: int
    orders: tuple[Order, ...]
    webhooks: bool = True
    list_lag_s: float = 0.0
    list_is_forbidden: bool = False
    list_fails: float = 0.0  # the share of calls of the list that end as a 503, until the world becomes quiet
    soon: float = 0.8  # the share of dead workers that start again within seconds; the others take a minute or more
    is_lossy: bool = False  # Redis may come back without its last second
    is_scripted: bool = False  # its rows are in a real Redis, written by the ledger's scripts
    late_workers_s: float = 0.0  # the first worker starts so long after the first call


def plan_of(seed: int) -> Plan:
    """The plan of a seed: one to three workers, one to four calls."""

    def pick(label: str, *choices: Any) -> Any:
        return choices[int(uniform(seed, f"plan {label}") * len(choices))]

    orders = []
    for n in range(1, pick("orders", 1, 1, 2, 2, 3, 4) + 1):
        kind = pick(f"kind {n}", "job", "job", "bare", "chain", "chord", "chord")
        orders.append(
            Order(
                f"j{n}",
                kind,
                pick(f"provider {n}", "fal", "fal", "vertex"),
                round(uniform(seed, f"plan at {n}") * 10, 1),
                pick(f"stop {n}", "", "", "", "cancel", "revoke"),
                round(uniform(seed, f"plan stop {n}") ** 2 * 25, 1),
                pick(f"deadline {n}", None, None, None, None, None, 30.0, 120.0),
                pick(f"duplicates {n}", None, None, "allow", "never"),
                pick(f"video {n}", False, False, False, True),
            )
        )
    return Plan(
        workers=pick("workers", 1, 2, 2, 3),
        orders=tuple(orders),
        webhooks=pick("webhooks", True, True, False),
        list_lag_s=pick("lag", 0.0, 0.0, 5.0, 30.0, 90.0),
        list_is_forbidden=pick("forbidden", False, False, False, False, True),
        list_fails=pick("list fails", 0.0, 0.0, 0.0, 0.5, 1.0),
        soon=pick("soon", 0.9, 0.9, 0.2),
        late_workers_s=pick("late", 0.0, 0.0, 0.0, 0.0, 12.0, 100.0),
    )
