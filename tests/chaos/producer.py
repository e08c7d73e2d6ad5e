"""The callers: sends what is asked for, at its time, and notes what `delay()` returned. Cancels what is to be cancelled.

An exception from `delay()` leaves it open whether the job was sent. With an idempotency key it is sent again; without
one nobody expects anything of it, but what arrived has to end all the same.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from celery import Celery, chain, chord, group
from celery.result import AsyncResult

from tests.chaos.history import Wanted
from tests.chaos.load import Ask, Part
from worker.cli.processes.stack import Stack
from worker.client import cancel
from worker.edge.app import app, celery_config

CALLERS = 6
REPEATS = 20


def point_at(stack: Stack) -> None:
    """Make the producer's app of this process send to this stack."""
    os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
    app.close()
    app.conf.update(celery_config())
    app._backend_cache, app._local, app.amqp._producer_pool = None, threading.local(), None


class Producer:
    """Sends asks from a few threads, so that one that has to wait holds up no other."""

    def __init__(self, asks: list[Ask], redis_url: str) -> None:
        self._asks = asks
        self._bare = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
        self._bare.conf.update(broker_connection_retry_on_startup=True)
        self._callers = ThreadPoolExecutor(CALLERS, thread_name_prefix="caller")
        self._timers: list[threading.Timer] = []
        self._lock = threading.Lock()
        self.wanted: list[Wanted] = []
        self.problems: list[str] = []
        self.stopped = 0

    def ids(self) -> list[str]:
        """The ids of all jobs known so far."""
        with self._lock:
            return [wanted.id for wanted in self.wanted if wanted.id]

    def run(self, began: float, given_up: Callable[[], bool]) -> None:
        """Send everything; returns when the last is sent."""
        sending: list[Future[None]] = []
        for ask in self._asks:
            while time.monotonic() < began + ask.at_s and not given_up():
                time.sleep(0.02)
            if given_up():
                break
            sending.append(self._callers.submit(self._send, ask))
        for each in sending:
            each.result()
        self._callers.shutdown()
        for timer in self._timers:
            timer.join()
        self._timers.clear()  # they hold results, which look for their Redis when they are collected

    def _send(self, ask: Ask) -> None:
        results = self._tried(ask, REPEATS if ask.key else 1)
        again = self._tried(ask, REPEATS) if ask.key and results else None
        self._note(ask, results, again or [])
        if ask.stop_after_s is not None and results:
            timer = threading.Timer(ask.stop_after_s, self._stop, (ask, results[0]))
            timer.start()
            self._timers.append(timer)

    def _tried(self, ask: Ask, times: int) -> list[AsyncResult] | None:
        """What the sending returned; None when it raised for good."""
        for n in range(times):
            try:
                return self._sent(ask)
            except Exception as error:  # noqa: BLE001  # whatever a caller would see
                self.problems.append(f"{ask.kind} {ask.number}: {type(error).__name__}: {error}")
                time.sleep(1.0 if n + 1 < times else 0)
        return None

    def _sent(self, ask: Ask) -> list[AsyncResult]:
        calls = [signature(part) for part in ask.parts]
        match ask.kind:
            case "bare" | "invalid":
                part = ask.parts[0]
                return [self._bare.send_task(part.task, kwargs=part.fields)]
            case "chain":
                last = chain(*calls).apply_async()
                return [last.parent, last]
            case "group":
                return list(group(calls).apply_async().results)
            case "chord":
                body = chord(calls[:-1])(calls[-1].clone(immutable=True))
                return [*body.parent.results, body]
        part = ask.parts[0]
        more = {"idempotency_key": ask.key} if ask.key else {}
        return [task_of(part).delay(**part.fields, **more)]

    def _note(self, ask: Ask, results: list[AsyncResult] | None, again: list[AsyncResult]) -> None:
        others = tuple({result.id for result in again} - {result.id for result in results or ()})
        with self._lock:
            for n, part in enumerate(ask.parts):
                job = results[n].id if results else None
                sent = results is not None
                wanted = Wanted(ask.number, n + 1, ask.kind, job, part.model, part.piece, part.count, sent, others)
                self.wanted.append(wanted)

    def _stop(self, ask: Ask, result: AsyncResult) -> None:
        try:
            cancel(result.id) if ask.kind == "cancelled" else result.revoke()
            self.stopped += 1
        except Exception as error:  # noqa: BLE001  # a cancel that did not get through is none
            self.problems.append(f"cancel of {ask.number}: {type(error).__name__}: {error}")


def task_of(part: Part) -> Any:
    """The task by its name."""
    from tasks.generation import text_to_image
    from tasks.training import lora
    from tasks.video import image_to_video

    return {task.name: task for task in (text_to_image, image_to_video, lora)}[part.task]


def signature(part: Part) -> Any:
    """The call as a part of a canvas."""
    return task_of(part).s(**part.fields)
