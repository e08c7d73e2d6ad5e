"""The gateway's application: its routes, the services that it opens, and the form of its error responses.

The modules beside this one handle the paths. `serve` runs the application.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from config.proxies import settle_proxies
from config.settings import Settings
from worker.files.signing import require_secret
from worker.files.store import folder_of, open_store
from worker.gateway.files import file_routes
from worker.gateway.health import Check, health_routes
from worker.gateway.jwks import Jwks, jwks_url
from worker.gateway.metrics import MetricsPage, metrics_routes
from worker.gateway.webhooks import WebhookReceiver, webhook_routes
from worker.health.metrics import Metrics
from worker.health.policy import policy_of
from worker.health.redis import open_redis_health
from worker.ledger.redis import open_redis_ledger
from worker.net.http import open_downloads
from worker.net.webhook_url import are_webhooks_accepted


def create_app(settings: Settings, clock: Callable[[], float] = time.time) -> Starlette:
    """The application. Services connect at their first use, and are closed at the end of the lifespan.

    Without KILNHAND_SECRET it raises `SecretMissingError` if it would serve a folder store's files, and
    `WebhookSecretMissingError` if KILNHAND_WEBHOOKS is on.
    """
    settle_proxies(settings.network.trust_proxies)
    checks: dict[str, Check] = {}
    metrics, ledger = Metrics(), open_redis_ledger(settings.redis.ledger, settings.redis.own_keys)
    health = open_redis_health(settings.redis.ledger, policy_of(settings.health), settings.redis.own_keys)
    keys = open_downloads(2, connect_s=5, read_s=5)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(ledger.aclose)
            stack.push_async_callback(health.aclose)
            stack.push_async_callback(keys.aclose)
            checks.update(ledger=ledger.ping, store=open_store(settings.store, settings.gateway).ready)
            yield

    totals = {
        "kilnhand_possible_duplicates": ledger.possible_duplicates,
        "kilnhand_messages_set_aside": ledger.messages_set_aside,
    }
    page = MetricsPage(metrics, health.states, totals)
    routes = [*health_routes(checks), *metrics_routes(page, settings.gateway.metrics_token)]
    folder, secrets = folder_of(settings.store), settings.gateway.secrets
    if folder is not None:  # S3 and GCS serve their own files
        require_secret(settings.gateway)
        routes += file_routes(folder, secrets, clock)
    if are_webhooks_accepted(settings):
        jwks = Jwks(jwks_url(settings.fal), keys)
        routes += webhook_routes(WebhookReceiver(secrets, ledger, jwks, metrics, clock))
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _as_json})


async def _as_json(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's own errors (404, 405) in the form of ours."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    code = error.detail.lower().replace(" ", "_")
    return JSONResponse(
        {"error": {"code": code, "message": error.detail}}, status_code=error.status_code, headers=error.headers
    )
