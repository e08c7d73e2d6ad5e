"""Serves metrics to Prometheus: the gateway's counters and the health of providers. No job ids and no secrets."""

from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.health.base import CircuitStatus
from worker.health.metrics import CONTENT_TYPE, Metrics
from worker.health.report import set_gauges

States = Callable[[], Awaitable[Sequence[CircuitStatus]]]


def metrics_routes(metrics: Metrics, states: States) -> list[Route]:
    """`GET /metrics`. While Redis does not answer, the health gauges are left out, since old values would mislead."""

    async def scrape(_request: Request) -> Response:
        try:
            set_gauges(await states(), metrics)
        except (RedisError, OSError):
            set_gauges((), metrics)
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", scrape)]
