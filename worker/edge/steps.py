"""Celery bootsteps of a worker: the dispatcher thread, and a heartbeat file for health checks."""

import gc
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.exceptions import ImproperlyConfigured

from config.settings import Settings
from worker.edge.dispatcher_thread import DispatcherThread
from worker.edge.message import side_queues
from worker.edge.queues import own_queue, remove_old_bindings
from worker.net.redis_server import require_usable

POOLS = ("celery.concurrency.thread", "celery.concurrency.solo")
BEAT_S = 2.0
GC_THRESHOLDS = (5000, 10, 10)  # for the three generations; Python's default is (700, 10, 10)


class DispatcherStep(bootsteps.StartStopStep):
    """Starts the dispatcher thread after the pool, and stops it before the process ends."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Open the services and start the dispatcher for the queues that this worker consumes.

        It also consumes the side queues of each, for endings and for jobs of priority high, and those first: see
        `worker.edge.queues.SideQueuesFirst`.
        """
        if worker.pool_cls.__module__ not in POOLS:
            raise ImproperlyConfigured("kilnhand needs the threads pool: remove --pool, or use --pool threads")
        require_usable(Settings().redis.urls)
        queues = sorted(worker.app.amqp.queues.consume_from)
        worker.app.side_queues = {side: queue for queue in queues for side in side_queues(queue)}
        for side in worker.app.side_queues:
            worker.app.amqp.queues.select_add(own_queue(side))
        worker.app.job_service = DispatcherThread(worker.app, Settings(), queues)
        _freeze_imports()

    def stop(self, worker: Any) -> None:
        """Let deliveries end, then write the claimed rows and close."""
        worker.pool.stop()  # Celery would stop it later, but a running delivery needs the dispatcher thread
        if service := getattr(worker.app, "job_service", None):
            service.close()
            worker.app.job_service = None

    terminate = stop


def _freeze_imports() -> None:
    """Exclude the objects of imported modules from garbage collection: each pass over them took 70 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class BindingsStep(bootsteps.StartStopStep):
    """Removes the bindings that the versions before left in Redis."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Remove them once the queues are declared."""
        remove_old_bindings(consumer.connection.default_channel, sorted(consumer.app.amqp.queues.consume_from))


class HeartbeatStep(bootsteps.StartStopStep):
    """Touches a file from the consumer's timer. Its time is old when the worker hangs or has lost the broker.

    `inspect ping` costs half a CPU second per call and uses the broker's fan-out.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Touch the file now and every two seconds."""
        if path := Settings().worker.heartbeat_file:
            self._touch(path)
            self._timer = consumer.timer.call_repeatedly(BEAT_S, self._touch, (path,), priority=10)

    def stop(self, consumer: Any) -> None:
        """Stop touching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _touch(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
