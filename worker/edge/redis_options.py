"""Celery's options for a Redis by any URL that the settings take: for its broker and for its result backend.

kombu and Celery read URLs differently, so the URLs here have only what both read in the same way; the rest are options.
"""

import ssl
from typing import Any

from config.redis_url import RedisUrl, node_host, read_redis_url
from worker.net.redis_client import sentinel_options, tls_options

VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
BACKEND, SENTINEL_BACKEND = "worker.edge.backend.MonotonicRedisBackend", "worker.edge.backend.MonotonicSentinelBackend"


def broker_options(url: str) -> dict[str, Any]:
    """`broker_url`, and what it needs. The transport options are only those of Sentinel."""
    at = read_redis_url(url)
    return {
        "broker_url": f"redis+{_socket(at)}" if at.socket else _servers(at),
        "broker_use_ssl": _tls(at),
        "broker_transport_options": _sentinels(at),
    }


def result_options(url: str) -> dict[str, Any]:
    """`result_backend`, and what it needs. The transport options are only those of Sentinel."""
    at = read_redis_url(url)
    backend = SENTINEL_BACKEND if at.is_sentinel else BACKEND
    return {
        "result_backend": f"{backend}+{_socket(at) if at.socket else _servers(at)}",
        "redis_backend_use_ssl": _tls(at),
        "redis_socket_keepalive": not at.socket,  # a socket's connection class refuses the option
        "result_backend_transport_options": _sentinels(at),
    }


def _servers(at: RedisUrl) -> str:
    """A URL for each address, as both want them for Sentinels: each one with the login and the database."""
    scheme = "sentinel" if at.is_sentinel else "rediss" if at.tls else "redis"
    return ";".join(f"{scheme}://{at.login.text}{node_host(host)}:{port}/{at.db}" for host, port in at.nodes)


def _socket(at: RedisUrl) -> str:
    path = RedisUrl(socket=at.socket, login=at.login).text.partition("://")[2].partition("?")[0]
    return f"socket://{path}?virtual_host={at.db}"


def _tls(at: RedisUrl) -> dict[str, Any] | None:
    if at.tls is None:
        return None
    return {**tls_options(at.tls), "ssl_cert_reqs": VERIFY[at.tls.verify]}


def _sentinels(at: RedisUrl) -> dict[str, Any]:
    return {"master_name": at.master_name, "sentinel_kwargs": sentinel_options(at)} if at.is_sentinel else {}
