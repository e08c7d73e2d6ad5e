"""Publishes how far a call is while it is out, for providers whose answer is streamed.

Such a call is one step of its row, and nothing is written to the row before it ends. So only the published state
changes: a worker that dies loses nothing by it. At most one status a second is published for a job, always the newest.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import structlog

from worker.engine.row_writer import PUBLISH_S, Publisher
from worker.jobs.job import Job, Observation, Stage
from worker.jobs.status import status_of
from worker.ledger.base import Ledger
from worker.providers.base import Running

log = structlog.get_logger(__name__)


@runtime_checkable
class Reporting(Protocol):
    """A provider that reports on its calls while they are out."""

    listener: Callable[[str, Running], None] | None


class CallProgress:
    """Takes the reports of the calls of one process, on its event loop."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        clock: Callable[[], float] = time.time,
        pause_s: float = PUBLISH_S,
    ) -> None:
        self._ledger, self._publisher, self._clock, self._pause_s = ledger, publisher, clock, pause_s
        self._newest = dict[str, Running]()
        self._publishing = dict[str, asyncio.Task[None]]()

    def listen_to(self, providers: Iterable[Any]) -> None:
        """Take the reports of those of these providers that report."""
        for provider in providers:
            if isinstance(provider, Reporting):
                provider.listener = self.report

    def report(self, job_id: str, running: Running) -> None:
        """Publish it, now or within a second; a newer report takes its place meanwhile."""
        self._newest[job_id] = running
        if job_id not in self._publishing:
            task = asyncio.create_task(self._publish(job_id), name=f"progress-{job_id}")
            self._publishing[job_id] = task
            task.add_done_callback(lambda _: self._publishing.pop(job_id, None))

    async def aclose(self) -> None:
        """Publish nothing more."""
        tasks = list(self._publishing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish(self, job_id: str) -> None:
        quarter = -1
        while (running := self._newest.pop(job_id, None)) is not None:
            try:
                job = await self._ledger.get(job_id)
                if job is None or job.stage != Stage.SUBMITTING:
                    return
                shown = _with_report(job, running)
                is_milestone = int(4 * (running.progress or 0.0)) > quarter
                quarter = max(quarter, int(4 * (running.progress or 0.0)))
                await self._publisher.publish(shown, status_of(shown, self._clock()), is_milestone)
            except Exception:  # the outer rim: whatever Redis raises; the call itself goes on
                log.warning("progress_not_published", job=job_id, exc_info=True)
            await asyncio.sleep(self._pause_s)


def _with_report(job: Job, running: Running) -> Job:
    """The job as it is shown. A report without a progress leaves it at 0, as an estimate."""
    is_known = running.progress is not None
    seen = Observation(True, progress=running.progress, progress_estimated=not is_known, logs=running.logs)
    return replace(job, observed=seen)
