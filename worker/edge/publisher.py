"""Publishes the dispatcher's results to Celery: states to the result backend, events to Flower, closing messages.

Celery's publishing blocks for one or two milliseconds, so it runs in a small thread pool.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from celery import Celery, states
from celery.exceptions import TaskRevokedError

from worker.edge.callbacks import callbacks_of
from worker.edge.message import context_of, send_again, send_closing, step_of
from worker.edge.pipeline import step_id
from worker.edge.shared_runs import RUN, jobs_of
from worker.edge.states import LiveStates
from worker.errors import error_class
from worker.explain.history import receipt_text
from worker.jobs.job import Job, Stage
from worker.jobs.signals import STEP_ENDED
from worker.jobs.status import JobStatus
from worker.ledger.base import Ledger
from worker.testing import crash

T = TypeVar("T")

EVENT_FIELDS = ("progress", "queue_position", "provider", "model", "stage")  # the fields of a status in Flower's table


class CeleryPublisher:
    """See `worker.engine.row_writer.Publisher`."""

    def __init__(self, app: Celery, ledger: Ledger, results_url: str, forget_s: float, threads: int = 4) -> None:
        self._app, self._ledger, self._forget_s = app, ledger, forget_s
        self._states = LiveStates(app.backend, results_url)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="publisher")

    async def publish(self, job: Job, status: JobStatus, milestone: bool) -> None:
        """Store the state with the status as its meta. A milestone also sends an event."""
        await self._states.write(job, status)
        if milestone:
            await self._in_thread(self._send_status_event, job, status)

    async def send(self, job: Job) -> None:
        """Send the message of a job that no worker has accepted."""
        crash.point("before_resend")
        await self._in_thread(send_again, self._app.tasks[job.task], job)
        crash.point("after_resend")

    async def close(self, job: Job) -> None:
        """Send the closing message. A cancelled job is ended here, since workers drop messages of revoked ids."""
        if job.ending == Stage.CANCELLED:
            crash.point("before_revoked")
            await self._in_thread(self._revoke, job)
            crash.point("after_revoked")
            if not await self._in_thread(self._app.backend.is_chord_open, context_of(job)):
                await self._ledger.confirm(job.id, self._forget_s)
        elif job.task not in self._app.tasks:  # a deploy removed the task, so no worker can process its closing message
            await self._in_thread(self._store, job)
            await self._ledger.confirm(job.id, self._forget_s)
        else:
            crash.point("before_closing_message")
            await self._in_thread(send_closing, self._app.tasks[job.task], job)
            crash.point("after_closing_message")
        if step := step_of(job):
            await self._wake(job, *step)

    async def _wake(self, job: Job, owner: str, name: str) -> None:
        """Wake the pipeline that a step belongs to, or the jobs that share a run. They look at it anyway, but later."""
        waiting = {owner} if step_id(owner, name) == job.id else set[str]()
        if name == RUN and (row := await self._ledger.row(job.id)):
            waiting |= jobs_of(row)
        for job_id in waiting:
            await self._ledger.signal(job_id, f"{STEP_ENDED}{name}")

    async def aclose(self) -> None:
        """Stop the threads and close connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._states.aclose()

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _send_status_event(self, job: Job, status: JobStatus) -> None:
        shown = {name: value for name in EVENT_FIELDS if (value := getattr(status, name)) is not None}
        self._send_event(job, f"task-{status.state.lower()}", result=str(shown))

    def _store(self, job: Job) -> None:
        """Store the ending of a job whose task was removed. Its result can be read, but its callbacks do not run."""
        if job.ending == Stage.COMPLETED:
            self._app.backend.mark_as_done(job.id, dict(job.result or {}), request=context_of(job))
        else:
            message = job.error.message if job.error else "the job failed"
            error = error_class(job.error.code if job.error else "")(message)
            with callbacks_of(job.message):
                self._app.backend.mark_as_failure(job.id, error, request=context_of(job))

    def _revoke(self, job: Job) -> None:
        """Store REVOKED. Unlike `mark_as_revoked` this also fails the rest of a chain and its chord (celery 5.7.0)."""
        text = receipt_text(job.receipt, has_files=bool(job.artefacts)) if job.receipt else "revoked"
        error = TaskRevokedError(text)
        with callbacks_of(job.message):
            self._app.backend.mark_as_failure(job.id, error, request=context_of(job), state=states.REVOKED)
        runtime = max(0.0, time.time() - job.created_at)
        # Without an explicit state, Flower's precedence keeps a custom state over REVOKED.
        self._send_event(
            job, "task-revoked", terminated=False, signum=None, expired=False, state=states.REVOKED, runtime=runtime
        )

    def _send_event(self, job: Job, kind: str, **fields: Any) -> None:
        with self._app.events.default_dispatcher(hostname=job.message.get("hostname")) as events:
            events.send(kind, uuid=job.id, **fields)
