"""A worker of a world: the real dispatcher thread with its dispatcher, behind a small model of Celery's consumer."""

import asyncio
import copy
import json
from functools import partial
from types import SimpleNamespace
from typing import Any

from celery.app.task import Context as CeleryContext
from celery.app.trace import trace_task
from celery.exceptions import Reject
from celery.utils.collections import LimitedSet

from config.catalogue import load_catalogue
from config.settings import Settings
from tests.simulation import seams
from tests.simulation.at_once import AtOnce
from tests.simulation.broker import Message
from tests.simulation.decisions import Fault
from tests.simulation.fal_transport import FalTransport
from tests.simulation.files import Files
from tests.simulation.ledger import LedgerClient, ProducerClient
from tests.simulation.virtual_loop import Process
from worker.edge.app import app
from worker.edge.dispatcher_thread import DispatcherThread
from worker.edge.message import endings_queue
from worker.edge.revoke import revoke
from worker.engine.context import Context
from worker.providers.fal.price_list import PriceList
from worker.providers.fal.provider import SEARCHES
from worker.services import Services, _signals

CATALOGUE = load_catalogue()
SETTINGS = Settings()
THREADS = 8
SIGTERM = Fault("SIGTERM")
QUEUES = [each for name in seams.QUEUES for each in (endings_queue(name), name)]


class Worker:
    """One run of a worker process."""

    def __init__(self, world: Any, name: str) -> None:
        self.world = world
        self.process = Process(world.loop, name)
        self.process.worker = self  # type: ignore[attr-defined]
        self.process.producer = ProducerClient(world.ledger, self.process)  # type: ignore[attr-defined]
        self.ledger = LedgerClient(world.ledger, self.process)
        self.transport = FalTransport(world.fal, self.process, world.decisions)
        self.revoked = LimitedSet(maxlen=1000)
        self.service: Any = None
        self._slots: asyncio.Semaphore | None = None

    def start(self) -> None:
        """Begin to work."""
        self.process.start(self._main())

    async def _main(self) -> None:
        self._slots = asyncio.Semaphore(THREADS)
        self.service = await self.process.call(DispatcherThread, app, SETTINGS, list(seams.QUEUES))
        self.revoked.update(self.world.remembered_revokes(self))  # Celery's mingle
        while not self.world.decisions.fault(f"{self.process.name} consume", (SIGTERM,), boost=0.3)[0]:
            await self._slots.acquire()
            message = await self.world.broker.take(self.process, QUEUES)
            self.process.start(self._deliver(message))
        await self._stop()

    async def _stop(self) -> None:
        """What SIGTERM does: deliveries end, then the dispatcher, then the process."""
        assert self._slots
        for _ in range(THREADS):
            await self._slots.acquire()
        await self.process.call(self.service.close)
        self.process.crash()

    async def _deliver(self, message: Message) -> None:
        assert self._slots
        try:
            is_done = await self.process.call(self._handle, message)
        finally:
            self._slots.release()
        broker = self.world.broker
        settle = broker.ack if is_done else broker.put_back
        await broker.command(self.process, "broker ack", partial(settle, message))

    def _handle(self, message: Message) -> bool:
        """Whether the message is acknowledged; it goes back otherwise. Blocking."""
        args, kwargs, embed = json.loads(message.body)
        delivery = {"routing_key": message.queue, "exchange": "", "redelivered": message.redelivered, "priority": None}
        request = {**message.headers, "delivery_info": delivery, "hostname": self.process.name, "is_eager": False}
        request |= {"args": args, "kwargs": kwargs, **(embed or {})}
        task = app.tasks[message.task]
        if message.id in self.revoked:  # `Request.revoked` of celery 5.7.0
            context = CeleryContext(request)
            task.backend.mark_as_revoked(message.id, reason="revoked", request=context, store_result=True)
            return True
        try:
            answer, info, *_ = trace_task(task, message.id, tuple(args), kwargs, request, app=app)
        except Reject as reject:
            return not reject.requeue
        error = getattr(answer, "exception", None) if info else None
        error = getattr(error, "exc", error)  # billiard wraps it with its traceback
        return not (isinstance(error, Reject) and error.requeue)

    def services(self, checks: Any) -> Services:
        """What `open_services` gives this worker."""
        world, process = self.world, self.process
        files: Any = Files(world.stored, world.objects, process, world.decisions)
        fal: Any = copy.copy(world.seams.fal)
        fal._searching = asyncio.Semaphore(SEARCHES)  # of this process, and bound to this world's loop
        fal._prices = PriceList(fal.http, "https://api.fal.ai", world.loop.time)
        at_once: Any = AtOnce("vertex", process, world.decisions, world.payments, world.before_take)
        health: Any = _Health(world.health, process)
        context = Context(
            catalogue=CATALOGUE,
            providers={"fal": fal, "vertex": at_once},
            disabled={},
            fetcher=files,
            store=files,
            url_s=60.0,
            chance=lambda: world.decisions.chance(f"{process.name} jitter"),
            webhook=world.webhook_url if world.plan.webhooks else None,
            health=health,
            signals=partial(_signals, self.ledger),
            own_run=self.ledger.own_run,
            checks=checks or {},
        )
        return Services(self.ledger, context)  # type: ignore[arg-type]

    def revoke(self, job_id: str) -> None:
        """Celery's control command. Blocking."""
        revoke(SimpleNamespace(app=app, tset=set), job_id)


class _Health:
    """The health that all workers share, until the process is dead."""

    def __init__(self, shared: Any, process: Process) -> None:
        self._shared, self._process = shared, process

    def __getattr__(self, name: str) -> Any:
        self._process.check()
        return getattr(self._shared, name)
