"""Puts a world under Celery, the edge and the SDK: what they reach for is the world's as long as it runs.

Celery's app, its task classes, canvas, tracer and result backend are the real ones, and so is all of `worker.edge`.
Replaced: the broker's connection, the clients of Redis, threads, sleeps, and what would be one for each process.
"""

import asyncio
import contextlib
import json
import logging
import random
import warnings
from collections.abc import Iterator
from functools import partial
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
import tasks.video
import worker.edge.dispatcher_thread as dispatcher_thread
import worker.edge.message as message_module
import worker.edge.publisher as publisher_module
import worker.edge.queued as queued
import worker.edge.sending as sending
from config.keys.fal import FalKey
from config.settings import FalSettings
from tests.simulation.broker import Message
from tests.simulation.broker_client import BrokerClient
from tests.simulation.fibers import wait_for
from tests.simulation.results import ResultsClient
from tests.simulation.stand_ins import (
    AsyncioModule,
    Connection,
    Events,
    FiberFuture,
    FiberLoop,
    Revoked,
    Service,
    States,
    Threads,
    VirtualTime,
    now_running,
    world,
)
from tests.simulation.virtual_loop import current_process
from worker.edge.app import DEFAULT_QUEUE, app
from worker.edge.message import endings_queue
from worker.engine.dispatcher import DispatcherOptions
from worker.providers.fal.provider import Fal, open_fal
from worker.testing import crash

PICTURE, VIDEO = tasks.generation.text_to_image, tasks.video.image_to_video
QUEUES = ("generation", "video", DEFAULT_QUEUE)


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
    broker = world().broker
    wait_for(broker.command(process, "publish", lambda: broker.publish(sent)))


def _watched(real: Any, closing: bool) -> Any:
    def send(task: Any, job: Any, *args: Any, **named: Any) -> Any:
        world().promises.on_resend(job.id, closing)
        return real(task, job, *args, **named)

    return send


def _crash_point(name: str) -> None:
    process = current_process()
    if process is not None and world() is not None:
        world().at_crash_point(process, name)


@contextlib.asynccontextmanager
async def _open_services(settings: Any, checks: Any = None, file_checks: Any = None) -> Any:
    process = current_process()
    yield process.worker.services(checks)  # type: ignore[union-attr]  # worlds have no tasks that check files


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
            "asyncio": AsyncioModule(),
            "open_services": _open_services,
            "DispatcherOptions": partial(DispatcherOptions, monotonic=clock.monotonic),
        }.items():
            self._set(dispatcher_thread, name, value)
        self._set(publisher_module, "LiveStates", States)
        self._set(queued, "open_async_redis", lambda *_, **__: BrokerClient())
        self._set(publisher_module, "ThreadPoolExecutor", Threads)
        self._set(celery_state, "revoked", Revoked())
        for name, closing in (("send_again", False), ("send_closing", True)):
            self._set(publisher_module, name, _watched(getattr(publisher_module, name), closing))
        self._install_app()
        return self

    def _install_app(self) -> None:
        names = [each for name in QUEUES for each in (endings_queue(name), name)]
        self._set(app.conf, "task_queues", [Queue(name) for name in names])
        backend = app.backend
        for name in ("_chord_part_return_script", "_chord_cleanup_script", "_chord_claim_extend_script"):
            backend.__dict__.pop(name, None)
        self._replace_cached(backend, "client", ResultsClient(lambda: (world().server, world().results)))
        self._replace_cached(backend, "add_pending_result", lambda result, **_: result)  # nobody subscribes
        self._replace_cached(backend, "remove_pending_result", lambda result: result)
        self._replace_cached(app.amqp, "send_task_message", _publish)
        self._replace_cached(app, "events", Events())
        self._set(app, "producer_or_acquire", lambda producer=None: contextlib.nullcontext(Connection()))
        self._set(app, "job_service", Service())

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
        state = random.getstate()
        random.seed(one.seed)
        logging.disable(logging.CRITICAL)
        try:
            with now_running(one), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(logging.NOTSET)
            random.setstate(state)


_MISSING: Any = object()


def quiet_logs() -> None:
    """No log lines of ours."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
