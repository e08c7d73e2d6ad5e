"""Runs the gateway in this process until a signal stops it. `kilnhand gateway` calls it with the settings."""

import resource
import socket
from contextlib import suppress

import uvicorn

from config.settings import Settings
from worker.files.signing import SecretMissingError
from worker.gateway.app import create_app
from worker.gateway.connections import ConnectionLimits, limited_protocol, refusing_ambiguous
from worker.net.redis_server import UnusableRedisError, require_usable
from worker.net.webhook_url import WebhookSecretMissingError

_GRACE_S = 5
_KEEP_ALIVE_S = 5
_BACKLOG = 256  # asyncio accepts so many at once before it looks at any of them (2,048 by default)
_OTHER_FILES = _BACKLOG + 100  # open files beside connections and served files: Redis, the store


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Print the address once it listens; with port 0 only this process knows the port."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"gateway listening on http://{shown}:{port}", flush=True)


def _allow_files(connections: int) -> int:
    """Raise this process's limit of open files for so many connections. Returns how many it has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _OTHER_FILES  # each may be a download, with its file
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(2, min(connections, (soft - _OTHER_FILES) // 2))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Exits with a message if it cannot start."""
    try:
        app = create_app(settings)
        require_usable({settings.redis.ledger})
    except (SecretMissingError, WebhookSecretMissingError, UnusableRedisError) as error:
        raise SystemExit(f"kilnhand gateway: {error}") from error
    config = uvicorn.Config(
        refusing_ambiguous(app),
        http=limited_protocol(ConnectionLimits(_allow_files(settings.gateway.gateway_connections))),
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        host=settings.gateway.gateway_host,
        port=settings.gateway.gateway_port,
        access_log=False,
        log_config=None,  # the entry point configures logging
        server_header=False,
        proxy_headers=False,  # nothing here uses the client's address, which proxy headers could forge
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit("kilnhand gateway: could not start; the log says why")
