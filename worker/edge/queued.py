"""Whether a job's message still waits in its broker queue, so that it is not sent a second time.

Celery on Redis keeps a queue as a list: new messages come in on the left, workers take from the right. A list cannot be
searched cheaply, but it is in order: if the oldest waiting message was sent no later than ours, ours waits behind it.
Each message of ours has the time of its sending in a header. A message that a worker took and has not acknowledged is
in a hash, with its time in a set (`worker.edge.unacked`).
"""

import json
from typing import Any

from redis.asyncio import Redis

from worker.edge.message import SENT_AT_HEADER, sending_of
from worker.edge.unacked import COMMON, OWN
from worker.jobs.job import Job
from worker.net.redis_client import open_async_redis

PRIORITY_STEPS, SEPARATOR = (0, 3, 6, 9), "\x06\x16"  # kombu keeps one list for each step of priority
LOOK_AT = 50  # messages at the right end; those that are not ours have no time of sending
MANY_UNACKED = 2000  # more than workers have threads: then it is not searched
TAKEN_S = 8.0  # a living worker renews the messages that it holds more often than that


class QueuedMessages:
    """Looks into the broker's Redis. It connects at the first call."""

    def __init__(self, broker_url: str, prefix: str = "") -> None:
        self._prefix = prefix
        self._redis = open_async_redis(broker_url, max_connections=2, timeout=5, socket_timeout=5)

    async def has(self, job: Job) -> bool:
        """Whether the job's last message waits in its queue, or a worker has just taken it."""
        queue, sent_at, priority = sending_of(job)
        oldest = await self._oldest(self._redis, self._prefix + _list_name(queue, priority))
        if oldest is not None and sent_at is not None and oldest <= sent_at:
            return True
        keys = [(self._prefix + messages, self._prefix + index) for messages, index in (OWN, COMMON)]
        return any([await self._is_taken(self._redis, job.id, *each) for each in keys])

    async def _oldest(self, client: Redis, name: str) -> float | None:
        """When the message was sent that is taken next; None for an empty list."""
        waiting: Any = await client.lrange(name, -LOOK_AT, -1)
        times = [at for raw in reversed(waiting) if (at := _sent_at(raw)) is not None]
        if times:
            return times[0]
        return 0.0 if waiting else None  # only messages of others: ours may wait behind them

    async def _is_taken(self, client: Redis, job_id: str, messages: str, index: str) -> bool:
        """Whether a worker took or renewed the message within the last seconds, and has not acknowledged it."""
        if not 0 < await client.hlen(messages) <= MANY_UNACKED:
            return False
        taken: Any = await client.hgetall(messages)
        mark = f'"{job_id}"'.encode()
        tags = [tag for tag, raw in taken.items() if mark in raw or mark.replace(b'"', b'\\"') in raw]
        seconds, _ = await client.time()
        scores: list[Any] = [await client.zscore(index, tag) for tag in tags]
        return any(score is not None and int(seconds) - score < TAKEN_S for score in scores)

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)


def _list_name(queue: str, priority: int) -> str:
    step = max(step for step in PRIORITY_STEPS if step <= priority)
    return f"{queue}{SEPARATOR}{step}" if step else queue


def _sent_at(raw: bytes) -> float | None:
    try:
        return float(json.loads(raw)["headers"][SENT_AT_HEADER])
    except (ValueError, KeyError, TypeError):
        return None
