"""Refuses a Redis server that kilnhand cannot work with: one older than 7, a node of a cluster, a Sentinel.

Such a server accepts connections, and fails later and only in parts: an older one at the first command that it does not
know, a node of a cluster at the first script whose keys belong to another node. `HELLO` names version and mode, and
needs fewer rights than `INFO`.
"""

from collections.abc import Iterable
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from config.redis_url import read_redis_url
from worker.errors import KilnhandError
from worker.net.redis_client import open_redis

OLDEST = 7  # the first with PEXPIRETIME
TIMEOUT_S = 3.0
TOO_OLD = "is {}. kilnhand needs Redis 7 or newer, or Valkey"
WAY_OUT = {
    "cluster": "is a node of a cluster. kilnhand needs all its keys in one server: use a Redis without cluster mode, "
    "and Sentinel if it has to fail over",
    "sentinel": "is a Sentinel. Write sentinel://host:port/db?master_name=NAME to use the Redis that it watches",
}


class UnusableRedisError(KilnhandError):
    """This Redis server cannot be used."""

    code = "unusable_redis"


def require_usable(urls: Iterable[str]) -> None:
    """Raise `UnusableRedisError` for a server that cannot be used. One that does not answer may start later."""
    for url in dict.fromkeys(urls):
        try:
            with open_probe(url) as client:
                why = unusable_why(client)
        except (RedisError, OSError):  # its first real use reports it
            continue
        if why:
            raise UnusableRedisError(f"the Redis at {read_redis_url(url).place} {why}")


def open_probe(url: str) -> Redis:
    """A client that gives up after one try."""
    once = Retry(NoBackoff(), 0)
    return open_redis(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=once, max_connections=1)


def unusable_why(client: Redis) -> str | None:
    """Why this server cannot be used, with its version; None if it can be. Raises redis-py's errors."""
    try:
        hello = _as_texts(client.execute_command("HELLO"))  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if "unknown command" in str(error) or "wrong number of arguments" in str(error):
            return TOO_OLD.format("older than Redis 6.2")
        raise
    if way_out := WAY_OUT.get(hello.get("mode", "")):
        return way_out
    version = hello.get("version", "")
    major = version.partition(".")[0]
    return TOO_OLD.format(f"Redis {version}") if major.isdigit() and int(major) < OLDEST else None


def _as_texts(answer: Any) -> dict[str, str]:
    """The names and values of an answer: a map in the newer protocol, a list of pairs in the older one."""
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
