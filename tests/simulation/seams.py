"""Puts a world under Celery, the edge and the SDK: what they reach for is the world's as long as it runs.

Celery's app, its task classes, canvas, tracer and result backend are the real ones, and so is all of `worker.edge`.
Replaced: the broker's connection, the clients of Redis, threads, sleeps, and what would be one for each process.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future as ThreadFuture
from types import SimpleNamespace
from typing import Any

import httpx
import kombu.utils.functional as kombu_functional
import structlog
import tenacity
import tenacity.nap
from celery import _state as celery_globals
from celery.worker import state as celery_state
from kombu.entity import Queue
from pydantic import SecretStr

import tasks.generation
import worker.edge.dispatcher_thread as dispatcher_thread
import worker.edge.message as message_module
import worker.edge.publisher as publisher_module
import worker.edge.sending as sending
from config.keys.fal import FalKey
from config.settings import FalSettings
from tests.simulation import virtual_loop
from tests.simulation.broker import Message
from tests.simulation.fibers import current_fiber, wait_for
from tests.simulation.results import ResultsClient
from tests.simulation.virtual_loop import current_process
from worker.edge.app import DEFAULT_QUEUE, app
from worker.providers.fal.provider import Fal, open_fal
from worker.testing import crash

QUEUE = "generation"
TASK = tasks.generation.text_to_image
_current: Any = None  # the world that runs


def world() -> Any:
    """The world that runs now."""
    return _current


class VirtualTime:
    """The module `time` on the virtual clock."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return float(_current.loop.time()) if _current else time.time()

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Wait on the virtual clock."""
        if current_fiber() is None:
            raise RuntimeError("time.sleep on the loop")
        wait_for(asyncio.sleep(seconds))


class FiberFuture(ThreadFuture):  # type: ignore[type-arg]
    """A future that blocking code waits for in its fiber."""

    def result(self, timeout: float | None = None) -> Any:
        """The result; `TimeoutError` after the timeout."""
        if not self.done():
            done = _current.loop.create_future()
            self.add_done_callback(lambda _: done.done() or done.set_result(None))
            wait_for(asyncio.wait_for(done, timeout))
        return super().result(0)


class FiberLoop:
    """`worker.edge.loop.LoopThread`: the loop is the world's."""

    def __init__(self) -> None:
        self.loop = _current.loop

    def run(self, work: Any, timeout_s: float = 30.0) -> Any:
        """Run a coroutine and wait for it."""
        return wait_for(asyncio.wait_for(work, timeout_s))

    def close(self) -> None:
        """Do nothing."""


class _AsyncioShim:
    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def run_coroutine_threadsafe(self, work: Any, loop: Any) -> Any:
        return virtual_loop.run_threadsafe(loop, work, FiberFuture())


class _States:
    """`worker.edge.states.LiveStates`: the states of running jobs."""

    def __init__(self, backend: Any, url: str) -> None:
        self._backend = backend

    async def write(self, job: Any, status: Any) -> None:
        if job.message.get("ignore_result"):
            return
        process, here = current_process(), _current
        assert process
        meta = {"task_id": job.id, "status": status.state, "result": None, "traceback": None, "children": []}
        key, value = self._backend.get_key_for_task(job.id).decode(), json.dumps(meta)
        store = lambda: here.results.store(key, value)  # noqa: E731
        await here.server.command(process, "state", store, is_ledger=False, retries=1, timeout_s=10.0)

    async def aclose(self) -> None: ...


class _Threads:
    """A thread pool: the loop's `run_in_executor` makes fibers."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def shutdown(self, **_: Any) -> None: ...


class _Revoked:
    """Celery's memory of revoked ids, which each worker has for itself."""

    def __getattr__(self, name: str) -> Any:
        process = current_process()
        return getattr(process.worker.revoked if process and hasattr(process, "worker") else set(), name)

    def __contains__(self, job_id: str) -> bool:
        return bool(self.__getattr__("__contains__")(job_id))


class _Service:
    """`app.job_service`, which is that of the worker whose code runs."""

    def __getattr__(self, name: str) -> Any:
        process = current_process()
        return getattr(process.worker.service, name)  # type: ignore[union-attr]


class _Producer:
    """The connection on which Celery publishes."""

    @contextlib.contextmanager
    def _reraise_as_library_errors(self) -> Iterator[None]:
        yield

    @property
    def connection(self) -> Any:
        return self


class _Events:
    @contextlib.contextmanager
    def default_dispatcher(self, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(send=lambda *_, **__: None)


class _FalRoads(httpx.AsyncBaseTransport):
    """The transport of the process whose code runs. The SDK's client is opened once: it takes 30 ms."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        process = current_process()
        response: httpx.Response = await process.worker.transport.handle_async_request(request)  # type: ignore[union-attr]
        return response


def _publish(producer: Any, name: str, message: Any, **options: Any) -> None:
    queue = options.get("queue")
    queue_name = str(getattr(queue, "name", queue) or options.get("routing_key") or DEFAULT_QUEUE)
    body = json.dumps(message.body, default=str)
    headers = {**message.headers, **(options.get("headers") or {})}
    sent = Message(headers["id"], name, headers, body, queue_name)
    process = current_process()
    assert process
    broker = _current.broker
    wait_for(broker.command(process, "publish", lambda: broker.publish(sent)))


def _watched(real: Any, closing: bool) -> Any:
    def send(task: Any, job: Any, *args: Any, **named: Any) -> Any:
        _current.promises.on_resend(job.id, closing)
        return real(task, job, *args, **named)

    return send


def _crash_point(name: str) -> None:
    process = current_process()
    if process is not None and _current is not None:
        _current.at_crash_point(process, name)


@contextlib.asynccontextmanager
async def _open_services(settings: Any, checks: Any = None) -> Any:
    process = current_process()
    yield process.worker.services(checks)  # type: ignore[union-attr]


async def _open_fal() -> Fal:
    settings = FalSettings(_env_file=None)  # type: ignore[call-arg]
    return await open_fal(settings, FalKey("test", SecretStr("id:secret")), _FalRoads())


class Seams:
    """Everything that is replaced. Installed once in a process, then each world runs in `running`."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []
        self.fal: Fal | None = None

    def install(self) -> "Seams":
        """Replace."""
        os.environ.setdefault("KILNHAND_WEBHOOK_SECRET", "simulation")
        clock: Any = VirtualTime()
        self.fal = asyncio.run(_open_fal())
        app.set_default()
        app.finalize()
        for module in (sending, message_module, publisher_module, tenacity, tenacity.nap):
            self._set(module, "time", clock)
        self._set(kombu_functional, "sleep", clock.sleep)
        self._set(kombu_functional, "time", clock.time)
        self._set(sending, "producer", lambda: current_process().producer)  # type: ignore[union-attr]
        self._set(crash, "point", _crash_point)
        for name, value in {
            "LoopThread": FiberLoop,
            "Future": FiberFuture,
            "asyncio": _AsyncioShim(),
            "open_services": _open_services,
        }.items():
            self._set(dispatcher_thread, name, value)
        self._set(publisher_module, "LiveStates", _States)
        self._set(publisher_module, "ThreadPoolExecutor", _Threads)
        self._set(celery_state, "revoked", _Revoked())
        for name, closing in (("send_again", False), ("send_closing", True)):
            self._set(publisher_module, name, _watched(getattr(publisher_module, name), closing))
        self._install_app()
        return self

    def _install_app(self) -> None:
        self._set(app.conf, "task_queues", [Queue(QUEUE), Queue(DEFAULT_QUEUE)])
        backend = app.backend
        for name in ("_chord_part_return_script", "_chord_cleanup_script", "_chord_claim_extend_script"):
            backend.__dict__.pop(name, None)
        self._replace_cached(backend, "client", ResultsClient(lambda: (_current.server, _current.results)))
        self._replace_cached(backend, "add_pending_result", lambda result, **_: result)  # nobody subscribes
        self._replace_cached(backend, "remove_pending_result", lambda result: result)
        self._replace_cached(app.amqp, "send_task_message", _publish)
        self._replace_cached(app, "events", _Events())
        self._set(app, "producer_or_acquire", lambda producer=None: contextlib.nullcontext(_Producer()))
        self._set(app, "job_service", _Service())

    def remove(self) -> None:
        """Put everything back."""
        for owner, name, value in reversed(self._undo):
            if value is _MISSING:
                owner.__dict__.pop(name, None)
            else:
                setattr(owner, name, value)
        self._undo.clear()
        for name in ("_chord_part_return_script", "_chord_cleanup_script", "_chord_claim_extend_script"):
            app.backend.__dict__.pop(name, None)
        celery_globals.set_default_app(None)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name, _MISSING)))
        setattr(owner, name, value)

    def _replace_cached(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, owner.__dict__.get(name, _MISSING)))
        owner.__dict__[name] = value

    @contextlib.contextmanager
    def running(self, one: Any) -> Iterator[None]:
        """Run this world: without logs, and with its own random numbers."""
        global _current
        before, _current = _current, one
        state = random.getstate()
        random.seed(one.seed)
        logging.disable(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(logging.NOTSET)
            random.setstate(state)
            _current = before


_MISSING: Any = object()


def quiet_logs() -> None:
    """No log lines of ours."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
