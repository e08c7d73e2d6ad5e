"""The ledger in Redis: a hash a job and a due-time set a queue. What is atomic is a Lua file beside this one.

The client repeats a script after a lost connection. Run twice, `accept`, `signal` and `confirm` have the effect of
once; a repeated `claim` or `take` only means that what the first one took waits for its lease to end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.errors import ClaimLostError
from worker.job import Job, dump_job, load_job
from worker.ledger.base import Claim

log = structlog.get_logger(__name__)

_SCRIPTS = ("accept", "claim", "renew", "write", "signal", "take", "confirm")


def open_redis_ledger(url: str, prefix: str = "kilnhand:") -> "RedisLedger":
    """A ledger in the Redis at `url`; connects at the first call. Whoever opens it closes it."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,  # more callers wait for one; the plain pool would refuse them
        timeout=30,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        client_name="kilnhand-ledger",
    )
    return RedisLedger(Redis(connection_pool=pool), prefix)


class RedisLedger:
    """See `worker.ledger.base.Ledger`."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis, self._prefix = client, prefix
        folder = files("worker.ledger")
        self._script = {name: client.register_script((folder / f"{name}.lua").read_text()) for name in _SCRIPTS}

    def _job(self, job_id: str) -> str:
        return f"{self._prefix}job:{job_id}"

    def _due(self, queue: str) -> str:
        return f"{self._prefix}due:{queue}"

    async def accept(self, job: Job) -> tuple[bool, Job]:
        """Write the row unless there is one of this id."""
        job = replace(job, created_at=await self.ping())
        keys = [self._job(job.id), self._due(job.queue)]
        new, doc = await self._script["accept"](keys=keys, args=[job.id, dump_job(job), job.stage, job.queue])
        return bool(new), load_job(doc)

    async def claim(self, queues: Sequence[str], limit: int, lease_s: float) -> tuple[list[Claim], float | None]:
        """Take due rows of these queues."""
        keys = [self._due(queue) for queue in queues]
        now, wait, *rows = await self._script["claim"](keys=keys, args=[self._prefix, limit, int(lease_s * 1000)])
        claims = [_claim(row, now / 1000) for row in rows]
        return [claim for claim in claims if claim], None if wait < 0 else wait / 1000

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Hold these rows for another lease."""
        pairs = [part for job_id, fence in held for part in (job_id, fence)]
        lost = await self._script["renew"](keys=[], args=[self._prefix, int(lease_s * 1000), *pairs])
        return {job_id.decode() for job_id in lost}

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and go on holding it."""
        await self._write(claim, job, "keep", lease_s)

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and let it go."""
        await self._write(claim, job, "release", due_in_s)

    async def _write(self, claim: Claim, job: Job, mode: str, seconds: float) -> None:
        keys = [self._job(job.id), self._due(job.queue)]
        args: list[Any] = [job.id, claim.fence, dump_job(job), job.stage, mode, int(seconds * 1000), claim.heard]
        if not await self._script["write"](keys=keys, args=args):
            raise ClaimLostError(f"job {job.id}: another worker holds the row since fence {claim.fence}")

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Leave a signal on a row and make it due."""
        doc = await self._script["signal"](keys=[self._job(job_id)], args=[self._prefix, job_id, name, value])
        return load_job(doc) if doc else None

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Take the ending of a closing row."""
        doc = await self._script["take"](keys=[self._job(job_id)], args=[int(lease_s * 1000)])
        return load_job(doc) if doc else None

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """End a row that is closing."""
        job = await self.get(job_id)
        if job is not None and job.ending is not None and not job.is_final:
            keys = [self._job(job_id), self._due(job.queue)]
            args: list[Any] = [job_id, dump_job(job.move(job.ending)), job.ending, int(forget_in_s * 1000)]
            await self._script["confirm"](keys=keys, args=args)

    async def get(self, job_id: str) -> Job | None:
        """The row, or None."""
        doc = await self._redis.hget(self._job(job_id), "doc")
        return load_job(doc) if doc else None

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""
        return {queue: await self._redis.zcard(self._due(queue)) for queue in queues}

    async def ping(self) -> float:
        """Redis's clock."""
        seconds, micros = await self._redis.time()
        return float(seconds) + micros / 1e6

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)


def _claim(flat: Any, now: float) -> Claim | None:
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    row = {key.decode(): value for key, value in pairs}
    signals = {key[7:]: value.decode() for key, value in row.items() if key.startswith("signal:")}
    try:
        job = load_job(row["doc"])
    except ValidationError:
        log.exception("row_unreadable", stage=row["stage"].decode(), strikes=int(row["strikes"]))
        return None
    return Claim(job, int(row["fence"]), now, int(row["strikes"]), signals, int(row["heard"]))
