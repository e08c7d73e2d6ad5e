"""Runs the dispatcher of a worker process on its own event loop, and calls the ledger for Celery's threads."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from celery import Celery
from celery.platforms import EX_FAILURE
from celery.worker import state as celery_state
from redis.exceptions import RedisError

from config.settings import Settings
from worker.edge.call_progress import CallProgress
from worker.edge.loop import LoopThread
from worker.edge.message import is_message_of
from worker.edge.pipeline_provider import PipelineProvider
from worker.edge.publisher import CeleryPublisher
from worker.edge.queued import QueuedMessages
from worker.edge.shared_runs import Reuse, SharedRuns
from worker.edge.stamps import has_stamp
from worker.edge.task import answer_checks, file_checks
from worker.engine.dispatcher import Dispatcher, DispatcherOptions
from worker.errors import InternalError, ServiceUnavailableError
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Job
from worker.ledger.base import IdempotencyKey, UnreadableRowError
from worker.ledger.scan import scan_rows
from worker.net.away import GrowingPause, is_permanent, problem_of
from worker.services import Services, open_services
from worker.testing import crash

T = TypeVar("T")
log = structlog.get_logger(__name__)

STOP_GRACE_S = 1.0  # for claims in progress; the others come due again on another worker
ENDING_LEASE_S = 5.0  # renewed while this process lives; shorter than the time until a closing message is sent again


class DispatcherThread:
    """See `worker.edge.service.JobService`. Opened when the worker starts, closed before it ends."""

    def __init__(self, app: Celery, settings: Settings, queues: Sequence[str]) -> None:
        self._app, self._settings = app, settings
        self._options = DispatcherOptions(
            queues=tuple(queues),
            lease_s=settings.worker.lease_s,
            max_claims=settings.worker.max_claims,
        )
        self._forget_s = settings.worker.result_days * 86400
        self._call_grace_s = settings.worker.stop_s  # for POSTs, whose answers no other worker can get, and for uploads
        self._taken_endings: dict[str, int] = {}  # by job, the thread in which Celery stores it and runs its callbacks
        self._pauses = GrowingPause(0.1, 5.0)  # while the ledger is away
        self._thread = LoopThread()
        self._stopped = asyncio.Event()
        self._ready: Future[tuple[Services, Dispatcher]] = Future()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._thread.loop)
        self._running.add_done_callback(self._on_end)
        self._services, self._dispatcher = self._ready.result(60)

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row unless there is one, and wake the dispatcher. Another job may be returned: `Ledger.accept`."""
        crash.point("before_accept")
        new, row = self._call(self._services.ledger.accept(job, key))
        crash.point("after_accept")
        if (
            new and job.id in celery_state.revoked
        ):  # revoked before the row existed: else Celery would drop the closing message
            celery_state.revoked.discard(job.id)
            self.cancel(job.id)
        elif new:
            self._thread.loop.call_soon_threadsafe(self._dispatcher.wake)
        return new, row

    def take(self, job_id: str) -> Job | None:
        """Lease the ending of a closing row, renewed until Celery has stored it and run its callbacks."""
        job = self._call(self._services.ledger.take(job_id, ENDING_LEASE_S))
        crash.point("after_take")
        if job:
            self._taken_endings[job_id] = threading.get_ident()
        return job

    def refuse(self, job_id: str, key: IdempotencyKey | None = None, sent_at: float | None = None) -> bool:
        """Remove the row and the key of an invalid first delivery. False when the id is that of another job."""
        try:
            row = self._call(self._services.ledger.get(job_id))
        except UnreadableRowError:
            return False
        if row is None:
            return True
        return is_message_of(row, sent_at) and self._call(self._services.ledger.withdraw(job_id, key))

    def has_row(self, job_id: str) -> bool:
        """Whether there is a job of this id. A row that cannot be read is one, too."""
        try:
            return self._call(self._services.ledger.get(job_id)) is not None
        except UnreadableRowError:
            return True

    def leave(self, job_id: str) -> None:
        """Stop renewing the lease of an ending that this thread took: unless confirmed, its message comes again."""
        if self._taken_endings.get(job_id) == threading.get_ident():
            del self._taken_endings[job_id]

    def confirm(self, job_id: str) -> None:
        """End the row: Celery has stored the ending."""
        crash.point("before_confirm")
        self.leave(job_id)
        self._call(self._services.ledger.confirm(job_id, self._forget_s))
        crash.point("after_confirm")

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; one that has ended is not changed. False when there is no row yet: then the cancel is noted."""
        try:
            has_row = self._call(self._services.ledger.cancel(job_id, self._forget_s)) is not None
        except UnreadableRowError:  # the cancel is on it, for when it is repaired
            has_row = True
        self._thread.loop.call_soon_threadsafe(self._dispatcher.wake)
        return has_row

    def cancel_stamped(self, stamps: Mapping[str, Sequence[Any]]) -> None:
        """Cancel the waiting jobs that have one of these stamps. It reads all rows, so it does not wait for the end."""
        asyncio.run_coroutine_threadsafe(self._cancel_stamped(stamps), self._thread.loop)

    async def _cancel_stamped(self, stamps: Mapping[str, Sequence[Any]]) -> None:
        redis = self._settings.redis
        try:
            async for batch in scan_rows(redis.ledger, redis.own_keys):
                for job in batch.jobs:
                    if job.ending is None and has_stamp(job.message, stamps):
                        await self._services.ledger.cancel(job.id, self._forget_s)
        except (RedisError, OSError) as error:
            log.error("stamp_not_cancelled", stamps=dict(stamps), error=type(error).__name__)
        self._dispatcher.wake()

    def add_queue(self, queue: str) -> None:
        """Also advance the rows of this queue."""
        self._thread.loop.call_soon_threadsafe(self._dispatcher.add_queue, queue)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            found = self._thread.run(work)
        except (RedisError, OSError) as error:
            if is_permanent(error):
                raise InternalError(f"the ledger refused it ({problem_of(error)})") from error
            raise ServiceUnavailableError(f"the ledger cannot be used now ({type(error).__name__})") from error
        self._pauses.reset()
        return found

    def pause(self) -> None:
        """Wait, longer each time until the ledger answers again."""
        self._thread.run(asyncio.sleep(self._pauses.next_s()))

    def close(self) -> None:
        """Stop the dispatcher, close the services, stop the loop."""
        self._thread.loop.call_soon_threadsafe(self._stopped.set)
        try:
            self._running.result(STOP_GRACE_S + self._call_grace_s + 3)
        except TimeoutError:
            log.warning("dispatcher_stopped_late")
        self._thread.close()

    async def _run(self) -> None:
        async with open_services(self._settings, answer_checks(self._app), file_checks(self._app)) as services:
            publisher = CeleryPublisher(self._app, services.ledger, self._settings.redis.results, self._forget_s)
            queued = QueuedMessages(self._settings.redis.broker, self._settings.redis.prefix)
            pipelines = PipelineProvider(self._app, services.ledger)
            shared = SharedRuns(self._app, services.ledger, self._reuse(services))
            providers = {**services.context.providers, pipelines.name: pipelines, shared.name: shared}
            progress = CallProgress(services.ledger, publisher)
            progress.listen_to(providers.values())
            context = replace(services.context, is_queued=queued.has, providers=providers)
            dispatcher = Dispatcher(services.ledger, context, publisher, self._options)
            for name, why in services.context.disabled.items():
                log.info("provider_disabled", provider=name, why=why)
            self._ready.set_result((services, dispatcher))
            dispatching = asyncio.create_task(dispatcher.run())
            renewing = asyncio.create_task(self._renew_taken_endings(services))
            stopping = asyncio.create_task(self._stopped.wait())
            await asyncio.wait({dispatching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await dispatcher.stop(STOP_GRACE_S, self._call_grace_s)
            await dispatching
            renewing.cancel()
            await progress.aclose()
            await publisher.aclose()
            await queued.aclose()

    def _reuse(self, services: Services) -> Reuse:
        owners, url_s = FileOwners(self._settings.gateway.public_url), self._settings.store.url_days * 86400
        return Reuse(services.context.catalogue, services.context.inputs, owners, url_s, self._forget_s)

    async def _renew_taken_endings(self, services: Services) -> None:
        """Renew the leases of endings that this process has taken, while their callbacks run."""
        while True:
            await asyncio.sleep(ENDING_LEASE_S / 3)
            try:
                await services.ledger.hold(list(self._taken_endings), ENDING_LEASE_S)
            except (RedisError, OSError):
                log.warning("hold_failed", endings=len(self._taken_endings))

    def _on_end(self, running: "Future[None]") -> None:
        """End the worker when the dispatcher fails: without it no job of this worker would advance."""
        if running.cancelled():
            return
        if error := running.exception():
            if not self._ready.done():
                self._ready.set_exception(error)
                return
            log.critical("dispatcher_died", exc_info=error)
            celery_state.should_terminate = EX_FAILURE
