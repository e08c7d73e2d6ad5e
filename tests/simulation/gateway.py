"""The gateway of a world: fal's webhooks reach their rows by the real code, or are lost, doubled or late."""

import asyncio
from typing import Any

from redis.exceptions import RedisError

from tests.simulation.decisions import Fault
from tests.simulation.fal import Request
from tests.simulation.ledger import LedgerClient
from tests.simulation.virtual_loop import Process
from worker.gateway.webhook_signals import WebhookBody, WebhookKind, record_webhook

LOST = Fault("webhook lost", weight=1.0)
DOUBLED = Fault("webhook doubled")
LATE = Fault("webhook late", 5.0, 200.0)
RETRIES_S = (15.0, 30.0, 60.0, 120.0, 240.0, 480.0)  # fal repeats for an hour; fewer are enough here


class Gateway:
    """One process, which is always there; the ledger is not."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.process = Process(world.loop, "gateway")
        self.reported: dict[str, float] = {}  # request id: when its webhook was stored
        self._ledger: Any = LedgerClient(world.ledger, self.process)

    def receive(self, request: Request) -> None:
        """fal sends a webhook."""
        fault, seconds = self._world.decisions.fault(f"webhook of {request.paid.job}", (LOST, DOUBLED, LATE), boost=4.0)
        if fault == LOST.name:
            return
        for _ in range(2 if fault == DOUBLED.name else 1):
            self._world.loop.outside_later(seconds + 0.05, lambda: self.process.start(self._store(request)))

    async def _store(self, request: Request) -> None:
        job, attempt = str(request.webhook).rsplit("/", 2)[-2:]
        if request.has_failed:
            given: dict[str, Any] = {"status": "ERROR", "error": "failed", "payload": {"detail": "failed"}}
        else:
            given = {"status": "OK", "payload": self._world.fal.output(request)}
        body = WebhookBody(request_id=request.paid.request_id, gateway_request_id=request.paid.request_id, **given)
        for pause_s in (*RETRIES_S, None):
            try:
                async with asyncio.timeout(5.0):
                    kind = await record_webhook(self._ledger, job, int(attempt), body, self._world.loop.time())
                if kind is WebhookKind.ACCEPTED:
                    self.reported.setdefault(request.paid.request_id, self._world.loop.time())
                return
            except (RedisError, TimeoutError):
                if pause_s is None:
                    return
                await asyncio.sleep(pause_s)
