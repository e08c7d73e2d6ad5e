"""Serves metrics to Prometheus: counters, and the health of providers. No job ids and no secrets.

What is in Redis is read once in some seconds at most, however many ask.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf

from pydantic import SecretStr
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.health.base import CircuitStatus
from worker.health.metrics import CONTENT_TYPE, Metrics
from worker.health.report import set_gauges

States = Callable[[], Awaitable[Sequence[CircuitStatus]]]
Count = Callable[[], Awaitable[int]]

CACHE_S = 5.0
_REDIS_S = 2.0


class MetricsPage:
    """The metrics as text, at most `CACHE_S` old."""

    def __init__(
        self,
        metrics: Metrics,
        states: States,
        totals: Mapping[str, Count],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`totals` are read from Redis, by the names of `worker.health.metrics.Totals`."""
        self._metrics, self._states, self._totals, self._monotonic = metrics, states, totals, monotonic
        self._read_at, self._lock = -inf, asyncio.Lock()

    async def text(self) -> bytes:
        """The text. While Redis does not answer, its values are left out, since old ones would mislead."""
        async with self._lock:
            if self._monotonic() - self._read_at >= CACHE_S:
                await self._read()
                self._read_at = self._monotonic()
        return self._metrics.text()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(_REDIS_S):
                states = await self._states()
                totals = {name: await count() for name, count in self._totals.items()}
        except (RedisError, OSError):  # a TimeoutError is an OSError
            set_gauges((), self._metrics)
            self._metrics.totals.set({})
        else:
            set_gauges(states, self._metrics)
            self._metrics.totals.set(totals)


def metrics_routes(page: MetricsPage, token: SecretStr | None = None) -> list[Route]:
    """`GET /metrics`. With a token, the request must send `Authorization: Bearer <token>`, or it gets a 401."""
    expected = f"Bearer {token.get_secret_value()}".encode() if token else None

    async def scrape(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if expected is not None and not hmac.compare_digest(given, expected):
            error = {"code": "unauthorized", "message": "Send the token of KILNHAND_METRICS_TOKEN as a bearer token."}
            headers = {"www-authenticate": "Bearer", "cache-control": "no-store"}
            return JSONResponse({"error": error}, 401, headers)
        return Response(await page.text(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", scrape)]
