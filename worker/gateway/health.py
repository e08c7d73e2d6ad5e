"""Liveness and readiness checks, for load balancers and container engines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from worker.errors import ExternalServiceError

Check = Callable[[], Awaitable[object]]

log = structlog.get_logger(__name__)

_TIMEOUT_S = 1.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """`/healthz`: 200 as long as the process answers. `/readyz`: 200 if every part can be reached, else 503."""

    async def healthz(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def readyz(_request: Request) -> JSONResponse:
        results = await asyncio.gather(*(_run_check(name, check) for name, check in checks.items()))
        ready = all(result == "ok" for result in results)
        return JSONResponse(
            {"ready": ready, "parts": dict(zip(checks, results, strict=True))},
            status_code=200 if ready else 503,
            headers={"cache-control": "no-store"},
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _run_check(name: str, check: Check) -> str:
    """The public result of one check. The error text names hosts and paths, so it goes to the log only."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await check()
    except TimeoutError:
        log.warning("gateway_part_slow", part=name, limit_s=_TIMEOUT_S)
        return f"no answer within {_TIMEOUT_S:g} s"
    except (RedisError, ExternalServiceError, OSError) as error:
        log.warning("gateway_part_failed", part=name, error=str(error))
        return "out of reach"
    return "ok"
