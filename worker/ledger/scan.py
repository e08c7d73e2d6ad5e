"""Reads all rows of the ledger in Redis, for reports. Nothing is written.

SCAN walks the keys in small steps, so Redis serves everybody else in between. A row that is written or expires during
the walk may be missed or come twice; one that is there all the time comes at least once.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from worker.jobs.job import Job
from worker.ledger.base import UnreadableRowError
from worker.ledger.hash import Keys, read_job
from worker.net.redis_client import open_async_redis

log = structlog.get_logger(__name__)

STEP = 500  # keys that Redis looks at in one step: less than a millisecond
ROWS = 50  # rows of one read


@dataclass(frozen=True)
class Batch:
    """Some rows, and how many others could not be read because a newer version wrote them, or somebody changed them."""

    jobs: tuple[Job, ...]
    unreadable: int = 0


async def scan_rows(url: str, prefix: str = "kilnhand:") -> AsyncIterator[Batch]:
    """The rows of the ledger at `url`, in no order. Raises redis-py's errors."""
    async with open_async_redis(url, socket_timeout=10, socket_connect_timeout=5, client_name="kilnhand-scan") as redis:
        found, keys = list[bytes](), Keys(prefix)
        async for key in redis.scan_iter(keys.job("*"), count=STEP):
            found.append(key)
            if len(found) == ROWS:
                yield await _read(redis, keys, found)
                found = []
        yield await _read(redis, keys, found)


async def ledger_time(url: str) -> float:
    """Redis's clock, in seconds since the epoch."""
    async with open_async_redis(url, socket_timeout=10, socket_connect_timeout=5) as redis:
        seconds, micros = await redis.time()
        return float(seconds) + micros / 1e6


async def _read(redis: Redis, keys: Keys, found: list[bytes]) -> Batch:
    async with redis.pipeline(transaction=False) as pipe:
        for key in found:
            pipe.hget(key, "doc")
        docs: list[Any] = await pipe.execute(raise_on_error=False)
    jobs: list[Job] = []
    unreadable = 0
    for key, doc in zip(found, docs, strict=True):
        if doc is None:  # it has expired since
            continue
        try:
            jobs.append(read_job(key.decode(errors="replace").removeprefix(keys.job("")), doc))
        except UnreadableRowError as error:
            unreadable += 1
            log.warning("row_unreadable", key=key.decode(errors="replace"), problem=error.message)
    return Batch(tuple(jobs), unreadable)
