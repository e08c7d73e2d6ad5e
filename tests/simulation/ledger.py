"""The ledger as the processes of a world see it: the one in memory, or a real one, behind the world's Redis."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.fibers import wait_for
from tests.simulation.redis_server import RedisServer, result_of
from tests.simulation.scripts import ScriptedLedger
from tests.simulation.virtual_loop import Process
from worker.jobs.job import Job
from worker.ledger.base import Claim, IdempotencyKey
from worker.ledger.memory import MemoryLedger, StoredRow

IDLE_CLAIM_S = 20.0  # the longest that a claim waits for a row to come due


@dataclass
class _Waiter:
    queues: Sequence[str]
    at: float
    woken: "asyncio.Future[None]"


class SharedLedger:
    """The rows, and who waits for one to come due. A dispatcher that claims every 0.25 s would cost most of a run."""

    def __init__(self, server: RedisServer, *, is_scripted: bool = False) -> None:
        self.server = server
        rows = ScriptedLedger if is_scripted else MemoryLedger
        self.memory: Any = rows(server.loop.time)
        self._waiters: list[_Waiter] = []

    def next_due(self, queues: Sequence[str]) -> float:
        """When the next row of these queues is due."""
        rows = self.memory.rows.values()
        return min((row.due for row in rows if not row.job.is_final and row.job.queue in queues), default=math.inf)

    def notify(self) -> None:
        """Wake those whose row is due earlier now."""
        for waiter in list(self._waiters):
            if self.next_due(waiter.queues) < waiter.at and not waiter.woken.done():
                waiter.woken.set_result(None)

    async def until_due(self, queues: Sequence[str], most_s: float) -> None:
        """Wait until a row of these queues is due, at most so long."""
        loop = self.server.loop
        end = loop.time() + most_s
        while (due := self.next_due(queues)) > loop.time() < end:
            waiter = _Waiter(queues, min(due, end), loop.create_future())
            timer = loop.call_at(waiter.at, _wake, waiter.woken)
            self._waiters.append(waiter)
            try:
                await waiter.woken
            finally:
                timer.cancel()
                self._waiters.remove(waiter)


def _is_held(row: StoredRow | None, claim: Claim) -> bool:
    return row is not None and row.fence == claim.fence


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


class LedgerClient:
    """See `worker.ledger.base.Ledger`. One for each process."""

    def __init__(self, shared: SharedLedger, process: Process) -> None:
        self.shared, self.process = shared, process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.shared.memory, name)

        async def call(*args: Any, **named: Any) -> Any:
            return await self._call(name, lambda: result_of(method(*args, **named)))

        return call

    async def _call(self, name: str, work: Any) -> Any:
        return await self.shared.server.command(self.process, name, work)

    async def claim(
        self, queues: Sequence[str], limit: int, lease_s: float, spare: int | None = None
    ) -> tuple[list[Claim], float | None]:
        """Claim due rows; a call that would find none waits a little. A repeated call gets its claims again."""
        await self.shared.until_due(queues, IDLE_CLAIM_S)
        given: list[Claim] = []

        def run() -> tuple[list[Claim], float | None]:
            memory = self.shared.memory
            again = [self._again(claim) for claim in given if _is_held(memory.rows.get(claim.job.id), claim)]
            claims, wait = result_of(memory.claim(queues, limit - len(again), lease_s, spare))
            given.extend(claims)
            return [*again, *claims], wait

        found: tuple[list[Claim], float | None] = await self._call("claim", run)
        return found

    def _again(self, claim: Claim) -> Claim:
        """The claim as `claim.lua` returns it to a repeated call."""
        row, now = self.shared.memory.rows[claim.job.id], self.shared.server.loop.time()
        return replace(
            claim, job=row.job, now=now, signals=dict(row.signals), signal_count=row.signal_count, late_s=0.0
        )

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Renew the leases of endings; nothing is sent for none."""
        if job_ids:
            await self._call("hold", lambda: result_of(self.shared.memory.hold(job_ids, lease_s)))

    async def aclose(self) -> None:
        """Do nothing."""


class ProducerClient:
    """See `worker.ledger.base.Producer`. Blocking: it is called in fibers. One for each process."""

    def __init__(self, shared: SharedLedger, process: Process) -> None:
        self._shared, self._process = shared, process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._shared.memory, name)
        return lambda *args, **named: self._call(name, lambda: result_of(method(*args, **named)))

    def _call(self, name: str, work: Any) -> Any:
        server = self._shared.server
        return wait_for(server.command(self._process, f"producer {name}", work, retries=2, boost=5.0))

    def send(self, job: Job, wait_s: float, key: IdempotencyKey | None = None) -> str:
        """Write a row at stage *sent*."""
        memory = self._shared.memory
        self._call("send", lambda: result_of(memory.send(job, wait_s)))
        return job.id

    def withdraw(self, job: Job, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*, unless a worker has claimed it."""

        def untouched() -> bool:
            row = self._shared.memory.rows.get(job.id)
            return bool(row and not row.fence and result_of(self._shared.memory.withdraw(job.id, key)))

        return bool(self._call("withdraw", untouched))

    def now(self) -> float:
        """The ledger's clock."""
        return float(self._call("now", self._shared.server.loop.time))
