"""A Redis that comes back without its last second, as `appendfsync everysec` allows after a power failure.

Off unless asked for (`--lossy`): docs/reliability.md excludes it from the promises, except for those in `HOLD`.
"""

import copy
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.decisions import Fault
from worker.jobs.job import FINAL

LOSES = Fault("redis loses its last writes", 0.1, 1.0)
EVERY_S = 0.1
HOLD = frozenset({"whole_piece", "ticket_first", "no_silent_swap"})


@dataclass(frozen=True)
class _Snapshot:
    at: float
    rows: dict[str, Any]
    values: dict[str, Any]
    queues: dict[str, Any]
    unacked: dict[int, Any]


class LostWrites:
    """Keeps what Redis had within the last seconds."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._snapshots: deque[_Snapshot] = deque(maxlen=30)

    def after_command(self) -> None:
        """Keep a snapshot now and then; go back to one when the fault comes."""
        now = self._world.loop.time()
        if self._snapshots and now - self._snapshots[-1].at < EVERY_S:
            return
        fault, seconds = self._world.decisions.fault("redis", (LOSES,))
        if fault:
            self._go_back(now - seconds)
        self._keep(now)

    def _keep(self, now: float) -> None:
        world = self._world
        rows = {job: replace(row, signals=dict(row.signals)) for job, row in world.ledger.memory.rows.items()}
        values = {name: copy.copy(value) for name, value in world.results.values.items()}
        queues = {name: deque(queue) for name, queue in world.broker.queues.items()}
        self._snapshots.append(_Snapshot(now, rows, values, queues, dict(world.broker.unacked)))

    def _go_back(self, at: float) -> None:
        world = self._world
        for snapshot in reversed(self._snapshots):
            if snapshot.at <= at:
                world.tell("Redis loses its last writes")
                world.promises.forget()
                world.ledger.memory.rows = {
                    job: replace(row, signals=dict(row.signals)) for job, row in snapshot.rows.items()
                }
                world.results.values = {name: copy.copy(value) for name, value in snapshot.values.items()}
                world.broker.queues = {name: deque(queue) for name, queue in snapshot.queues.items()}
                world.broker.unacked = dict(snapshot.unacked)
                return

    def counts(self, violation: Any) -> bool:
        """Whether a violation is one even then: no promise about what was lost, but every row that is left ends."""
        if violation.promise in HOLD:
            return True
        row = self._world.ledger.memory.rows.get(violation.job)
        return violation.kind == "defect" or (
            row is not None and row.job.stage not in FINAL and violation.kind.startswith("stays")
        )
