"""Removes one safety, to show that the worlds notice it. The names are those of `tests.chaos.sabotage`."""

import sys
from typing import Any

import httpx

from worker.engine import advance
from worker.jobs.job import Stage
from worker.ledger.memory import MemoryLedger, StoredRow
from worker.providers.fal.guard import FalGuard

NAMES = ("guard", "intent", "fence", "sent")


def apply(name: str | None) -> None:
    """Remove the safety in this process. Raises `ValueError` for an unknown name."""
    if name is None:
        return
    if name not in NAMES:
        raise ValueError(f"--without {name}: allowed: {', '.join(NAMES)}")
    globals()[f"_without_{name}"]()


def _without_guard() -> None:
    """The SDK repeats lost submissions by itself."""

    async def pass_on(self: Any, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self._inner.handle_async_request(request)
        return response

    FalGuard.handle_async_request = pass_on  # type: ignore[method-assign]


def _without_intent() -> None:
    """An intent that a crash left is submitted again, as if it had never been sent."""
    step = advance._step

    async def submit_again(context: Any, job: Any, step_input: Any) -> Any:
        if job.stage == Stage.SUBMITTING:
            return await advance._submit(context, job, step_input)
        return await step(context, job, step_input)

    advance._step = submit_again


def _without_fence() -> None:
    """An old claim may write."""

    def held(self: Any, claim: Any, job: Any) -> StoredRow:
        row = self._row(job.id)
        row.job, row.claims_since_write = job, 0
        if job.ending:
            row.signals.clear()
        found: StoredRow = row
        return found

    MemoryLedger._held = held  # type: ignore[method-assign]


def _without_sent() -> None:
    """No row before the message: until a worker has it, the message is the only record."""
    ledger = sys.modules["tests.simulation.ledger"]
    ledger.ProducerClient.send = lambda self, job, wait_s, key=None: job.id
