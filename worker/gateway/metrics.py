"""The gateway's counters, and the health of providers as it stands, for whoever scrapes them. No job, no secret."""

from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.health.base import State
from worker.health.metrics import CONTENT_TYPE, Metrics
from worker.health.report import show

States = Callable[[], Awaitable[Sequence[State]]]


def metrics_routes(metrics: Metrics, states: States) -> list[Route]:
    """`GET /metrics`. While Redis is away the health is left out rather than told as it was."""

    async def told(_request: Request) -> Response:
        try:
            show(await states(), metrics)
        except (RedisError, OSError):
            show((), metrics)
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", told)]
