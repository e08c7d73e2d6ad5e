"""The callers: sends each item of the load at its time, records what `delay()` returned, and cancels some jobs.

After an exception from `delay()` it is unknown whether the job was sent. With an idempotency key it is sent again.
Without one no result is expected, but a job that did arrive must end.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from celery import Celery
from celery.result import AsyncResult

from tests.chaos.caller import send
from tests.chaos.history import ExpectedJob
from tests.chaos.load import REVOKED_EARLY, LoadItem, picture
from worker.cli.processes.stack import Stack
from worker.client import cancel
from worker.edge.app import app, celery_config

Sender = Callable[..., list[AsyncResult]]  # see `tests.chaos.caller.send`
CALLERS = 6
MAX_SENDS = 20


def use_stack(stack: Stack) -> None:
    """Make the Celery app of this process send to this stack."""
    os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
    app.close()
    app.conf.update(celery_config())
    app._backend_cache, app._local, app.amqp._producer_pool = None, threading.local(), None


class Producer:
    """Sends items from several threads, so that an item that waits does not delay others."""

    def __init__(self, items: list[LoadItem], redis_url: str, sender: Callable[[], Sender] = lambda: send) -> None:
        """`sender` returns what sends the next item: another version may do it."""
        self._items, self._sender = items, sender
        self._bare = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
        self._bare.conf.update(broker_connection_retry_on_startup=True)
        self._callers = ThreadPoolExecutor(CALLERS, thread_name_prefix="caller")
        self._timers: list[threading.Timer] = []
        self._lock = threading.Lock()
        self.expected_jobs: list[ExpectedJob] = []
        self.problems: list[str] = []
        self.cancelled = 0
        self.noted_cancels: dict[str, float] = {}

    def ids(self) -> list[str]:
        """Return the ids of all jobs until now."""
        with self._lock:
            return [expected.id for expected in self.expected_jobs if expected.id]

    def run(self, began: float, is_stopped: Callable[[], bool]) -> None:
        """Send all items; returns when the last one is sent and the last cancel is done."""
        sending: list[Future[None]] = []
        for item in self._items:
            while time.monotonic() < began + item.at_s and not is_stopped():
                time.sleep(0.02)
            if is_stopped():
                break
            sending.append(self._callers.submit(self._send, item))
        for each in sending:
            each.result()
        self._callers.shutdown()
        for timer in self._timers:
            timer.join()
        self._timers.clear()  # they hold results, which connect to Redis when they are garbage-collected

    def send_one_more(self, number: int) -> None:
        """Send a picture after the load. A lost submission is known to be absent once the list shows a later request."""
        self._send(LoadItem(number, 0.0, "picture", (picture(number),)))

    def _send(self, item: LoadItem) -> None:
        results = self._send_with_retries(item, MAX_SENDS if item.key else 1)
        again = self._send_with_retries(item, MAX_SENDS) if item.key and results else None
        self._add_expected(item, results, again or [])
        if item.stop_after_s is not None and results:
            timer = threading.Timer(item.stop_after_s, self._cancel, (item, results[-1]))
            timer.start()
            self._timers.append(timer)

    def _send_with_retries(self, item: LoadItem, times: int) -> list[AsyncResult] | None:
        """Return the results of sending; None if the last try raised an error, too."""
        for n in range(times):
            try:
                return self._send_once(item)
            except Exception as error:  # noqa: BLE001  # every error that a caller can see
                self.problems.append(f"{item.kind} {item.number}: {type(error).__name__}: {error}")
                time.sleep(1.0 if n + 1 < times else 0)
        return None

    def _send_once(self, item: LoadItem) -> list[AsyncResult]:
        if item.kind in {"bare", "invalid"}:
            part = item.parts[0]
            return [self._bare.send_task(part.task, kwargs=part.fields, queue=part.task.split(".")[0])]
        return self._sender()(item.kind, [(part.task, part.fields) for part in item.parts], item.key)

    def _add_expected(self, item: LoadItem, results: list[AsyncResult] | None, again: list[AsyncResult]) -> None:
        others = tuple({result.id for result in again} - {result.id for result in results or ()})
        with self._lock:
            for n, part in enumerate(item.parts):
                job = results[n].id if results else None
                sent = results is not None
                expected = ExpectedJob(
                    item.number, n + 1, item.kind, job, part.model, part.piece, part.count, sent, others,
                    part.provider, part.fields.get("duplicates"),
                )  # fmt: skip
                self.expected_jobs.append(expected)

    def _cancel(self, item: LoadItem, result: AsyncResult) -> None:
        """Cancel the last part, by Celery's `revoke` or by ours."""
        by_celery = item.kind == "revoked" or (item.kind in REVOKED_EARLY and item.number % 2)
        try:
            status = result.revoke() if by_celery else cancel(result.id)
            if status is not None and status.stage == "cancel_noted":
                self.noted_cancels[result.id] = time.time()
            self.cancelled += 1
        except Exception as error:  # noqa: BLE001  # a cancel that failed is not counted
            self.problems.append(f"cancel of {item.number}: {type(error).__name__}: {error}")
