"""What a worker process adds to Celery: a dispatcher on its own loop, and the way to it from Celery's threads."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog
from celery import Celery
from celery.platforms import EX_FAILURE
from celery.worker import state as celery_state
from redis.exceptions import RedisError

from config.settings import Settings
from worker.edge.loop import LoopThread
from worker.edge.publisher import CeleryPublisher
from worker.edge.task import answer_checks
from worker.engine.dispatcher import Dispatcher, DispatcherOptions
from worker.errors import ServiceUnavailableError
from worker.jobs.job import Job
from worker.ledger.base import IdempotencyKey
from worker.services import Services, open_services
from worker.testing import crash

T = TypeVar("T")
log = structlog.get_logger(__name__)

STOP_GRACE_S = 1.0  # for what is in hand; the rest comes due again on another worker
ENDING_LEASE_S = (
    5.0  # an ending is taken for so long, and again while this process lives; less than until it is sent again
)


class DispatcherThread:
    """See `worker.edge.task.JobService`. Opened with the worker, closed before it ends."""

    def __init__(self, app: Celery, settings: Settings, queues: Sequence[str]) -> None:
        self._app, self._settings = app, settings
        self._options = DispatcherOptions(
            queues=tuple(queues),
            lease_s=settings.worker.lease_s,
            max_claims=settings.worker.max_claims,
        )
        self._forget_s = settings.worker.result_days * 86400
        self._call_grace_s = settings.worker.stop_s  # a POST under way: nobody else will get its answer; an upload
        self._endings: set[str] = set()  # taken and not confirmed; Celery stores them and runs their callbacks
        self._thread = LoopThread()
        self._stopped = asyncio.Event()
        self._ready: Future[tuple[Services, Dispatcher]] = Future()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._thread.loop)
        self._running.add_done_callback(self._died)
        self._services, self._dispatcher = self._ready.result(60)

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row unless there is one, and have the dispatcher look at once."""
        crash.point("before_accept")
        new, row = self._ask(self._services.ledger.accept(job, key))
        crash.point("after_accept")
        if new and job.id in celery_state.revoked:  # before it was a row: its closing message must not be dropped
            celery_state.revoked.discard(job.id)
            self.cancel(job.id)
        elif new:
            self._thread.loop.call_soon_threadsafe(self._dispatcher.wake)
        return new, row

    def take(self, job_id: str) -> Job | None:
        """Take the ending of a closing row, for as long as Celery may need to store it and run callbacks."""
        job = self._ask(self._services.ledger.take(job_id, ENDING_LEASE_S))
        crash.point("after_take")
        if job:
            self._endings.add(job_id)
        return job

    def refuse(self, job_id: str, key: IdempotencyKey | None = None) -> None:
        """The request of a first delivery cannot be read: Celery has its ending, and its row goes, with its key."""
        self._ask(self._services.ledger.withdraw(job_id, key))

    def confirm(self, job_id: str) -> None:
        """The ending has reached Celery."""
        crash.point("before_confirm")
        self._endings.discard(job_id)
        self._ask(self._services.ledger.confirm(job_id, self._forget_s))
        crash.point("after_confirm")

    def cancel(self, job_id: str) -> bool:
        """Leave a cancel signal. False when there is no such job; one that has ended stays as it is."""
        job = self._ask(self._services.ledger.signal(job_id, "cancel"))
        self._thread.loop.call_soon_threadsafe(self._dispatcher.wake)
        return job is not None

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._thread.run(work)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise ServiceUnavailableError(f"the ledger cannot be reached ({type(error).__name__})") from error

    def close(self) -> None:
        """Stop the dispatcher, close the services, end the loop."""
        self._thread.loop.call_soon_threadsafe(self._stopped.set)
        try:
            self._running.result(STOP_GRACE_S + self._call_grace_s + 3)
        except TimeoutError:
            log.warning("dispatcher_stopped_late")
        self._thread.close()

    async def _run(self) -> None:
        async with open_services(self._settings, answer_checks(self._app)) as services:
            publisher = CeleryPublisher(self._app, services.ledger, self._settings.redis.results, self._forget_s)
            dispatcher = Dispatcher(services.ledger, services.context, publisher, self._options)
            for name, why in services.context.disabled.items():
                log.info("provider_disabled", provider=name, why=why)
            self._ready.set_result((services, dispatcher))
            minding = asyncio.create_task(dispatcher.run())
            holding = asyncio.create_task(self._hold_endings(services))
            stopping = asyncio.create_task(self._stopped.wait())
            await asyncio.wait({minding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await dispatcher.stop(STOP_GRACE_S, self._call_grace_s)
            await minding
            holding.cancel()
            await publisher.aclose()

    async def _hold_endings(self, services: Services) -> None:
        """Nobody else ends what this process is ending, however long its callbacks take."""
        while True:
            await asyncio.sleep(ENDING_LEASE_S / 3)
            try:
                await services.ledger.hold(list(self._endings), ENDING_LEASE_S)
            except (RedisError, OSError):
                log.warning("hold_failed", endings=len(self._endings))

    def _died(self, running: "Future[None]") -> None:
        """A dispatcher that ends by itself takes the worker with it: nothing would be minded here."""
        if running.cancelled():
            return
        if error := running.exception():
            if not self._ready.done():
                self._ready.set_exception(error)
                return
            log.critical("dispatcher_died", exc_info=error)
            celery_state.should_terminate = EX_FAILURE
