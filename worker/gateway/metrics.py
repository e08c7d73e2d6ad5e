"""The gateway's counters, for whoever scrapes them. They hold no job, no address and no secret."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.metrics import CONTENT_TYPE, Metrics


def metrics_routes(metrics: Metrics) -> list[Route]:
    """`GET /metrics`."""

    async def show(_request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [Route("/metrics", show)]
