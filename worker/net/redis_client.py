"""Opens clients of a Redis by any URL that the settings take: a server, with TLS or not, a socket, or Sentinels.

Everything of ours that talks to Redis opens its client here, and `worker.edge.redis_options` gives Celery the same.
Behind Sentinels a client asks them for the primary whenever it connects, so it finds the new one after a failover.
"""

from functools import partial
from typing import Any

import redis
import redis.asyncio as asynchronous
from redis import sentinel
from redis.asyncio import sentinel as async_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.redis_url import RedisUrl, Tls, read_redis_url

SENTINEL_TIMEOUT_S = 3.0  # for one Sentinel; the next is asked after it
_TCP_ONLY = ("socket_connect_timeout", "socket_keepalive")


def open_async_redis(url: str, **options: Any) -> asynchronous.Redis:
    """A client of the running loop, with redis-py's options of its blocking pool. It connects at the first call.

    `aclose(close_connection_pool=True)` closes its connections.
    """
    at = read_redis_url(url)
    connection: Any = asynchronous.SSLConnection if at.tls else asynchronous.Connection
    managed: Any = async_sentinel.SentinelManagedSSLConnection if at.tls else async_sentinel.SentinelManagedConnection
    pool: Any = asynchronous.BlockingConnectionPool
    if at.is_sentinel:
        asked = {**sentinel_options(at), "retry": AsyncRetry(NoBackoff(), 0)}
        sentinels: Any = async_sentinel.Sentinel
        connection = managed
        pool = partial(_AsyncSentinelPool, at.master_name, sentinels(at.nodes, sentinel_kwargs=asked))
    elif at.socket:
        connection = asynchronous.UnixDomainSocketConnection
    return asynchronous.Redis.from_pool(pool(connection_class=connection, **server_options(at, options)))


def open_redis(url: str, **options: Any) -> redis.Redis:
    """A blocking client, safe for threads, with redis-py's options of its blocking pool. `close()` closes it."""
    at = read_redis_url(url)
    connection: Any = redis.SSLConnection if at.tls else redis.Connection
    managed: Any = sentinel.SentinelManagedSSLConnection if at.tls else sentinel.SentinelManagedConnection
    pool: Any = redis.BlockingConnectionPool
    if at.is_sentinel:
        sentinels: Any = sentinel.Sentinel
        connection = managed
        pool = partial(_SentinelPool, at.master_name, sentinels(at.nodes, sentinel_kwargs=sentinel_options(at)))
    elif at.socket:
        connection = redis.UnixDomainSocketConnection
    return redis.Redis.from_pool(pool(connection_class=connection, **server_options(at, options)))


def server_options(at: RedisUrl, options: dict[str, Any]) -> dict[str, Any]:
    """redis-py's options for connections to the server: its place, the login, TLS, and those of the caller."""
    common = {"db": at.db, "username": at.login.username, "password": at.login.password}
    if at.socket:
        return {"path": at.socket, **common} | {name: options[name] for name in options if name not in _TCP_ONLY}
    place = {} if at.is_sentinel else {"host": at.nodes[0][0], "port": at.nodes[0][1]}
    return place | common | (tls_options(at.tls) if at.tls else {}) | options


def sentinel_options(at: RedisUrl) -> dict[str, Any]:
    """redis-py's options for blocking connections to Sentinels. They have TLS if the server has it.

    By default redis-py tries a Sentinel that is away ten times, with pauses: a worker took 17 s to start.
    """
    login = {"username": at.sentinel_login.username, "password": at.sentinel_login.password}
    timeouts = {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S}
    once = {"retry": Retry(NoBackoff(), 0)}
    return {**login, **timeouts, **once, **({"ssl": True, **tls_options(at.tls)} if at.tls else {})}


def tls_options(tls: Tls) -> dict[str, Any]:
    """redis-py's and kombu's options for TLS."""
    files = {"ssl_ca_certs": tls.ca_certs, "ssl_certfile": tls.certfile, "ssl_keyfile": tls.keyfile}
    return {
        "ssl_cert_reqs": tls.verify,
        "ssl_check_hostname": tls.check_hostname and tls.verify != "none",
        **{name: path for name, path in files.items() if path is not None},
    }


class _AsyncSentinelPool(async_sentinel.SentinelConnectionPool, asynchronous.BlockingConnectionPool):
    """Further callers wait for a connection. The connections to Sentinels are closed with it."""

    async def aclose(self) -> None:
        """Close all connections."""
        await super().aclose()
        await self.sentinel_manager.aclose()


class _SentinelPool(sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Further callers wait for a connection. The connections to Sentinels are closed with it."""

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.sentinel_manager.close()
