"""The ledger in Redis: a hash a job and a due-time set a queue. What is atomic is a Lua file beside this one.

What a producer does with it, blocking, is `worker.ledger.producer`.

The client repeats a script after a lost connection. Run twice, `accept`, `signal` and `confirm` have the effect of
once; a repeated `claim` or `take` only means that what the first one took waits for its lease to end.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.errors import ClaimLostError, KeyReusedError
from worker.jobs.job import HistoryEntry, Job, dump_job, load_job
from worker.ledger.base import Claim, IdempotencyKey, Row
from worker.ledger.hash import Keys, accepted, claim_of, row_of

_SCRIPTS = ("accept", "claim", "renew", "write", "signal", "take", "withdraw", "confirm")


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
        retry_on_error=[RedisConnectionError, RedisTimeoutError, ReadOnlyError],  # one that is no primary any more
        client_name="kilnhand-ledger",
    )
    return RedisLedger(Redis(connection_pool=pool), prefix)


class RedisLedger:
    """See `worker.ledger.base.Ledger`."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis, self._prefix, self._keys = client, prefix, Keys(prefix)
        self._script = {name: client.register_script(lua(name)) for name in _SCRIPTS}

    async def accept(self, job: Job, once: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row unless one of this id is past being sent."""
        now, sent = await self._seen(job.id)
        job = accepted(job, sent, now)
        args: list[Any] = [job.id, dump_job(job), job.stage, job.queue, self._prefix]
        args += [once.of, int(once.keep_s * 1000)] if once else []
        new, found, *_ = await self._script["accept"](keys=self._keys.written(job, once), args=args)
        if new < 0:
            raise KeyReusedError(f"idempotency_key: job {found.decode()} has it")
        return bool(new), load_job(found)

    async def claim(self, queues: Sequence[str], limit: int, lease_s: float) -> tuple[list[Claim], float | None]:
        """Take due rows of these queues."""
        keys = [self._keys.due(queue) for queue in queues]
        now, wait, *rows = await self._script["claim"](keys=keys, args=[self._prefix, limit, int(lease_s * 1000)])
        claims = [claim_of(row, now / 1000) for row in rows]
        for row, claim in zip(rows, claims, strict=True):
            if claim is None:  # that we cannot read it is no fault of the row's
                await self._redis.hincrby(self._keys.job(row[-1].decode()), "strikes", -1)
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
        keys = self._keys.written(job)
        args: list[Any] = [job.id, claim.fence, dump_job(job), job.stage, mode, int(seconds * 1000), claim.heard]
        if not await self._script["write"](keys=keys, args=args):
            raise ClaimLostError(f"job {job.id}: another worker holds the row since fence {claim.fence}")

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Leave a signal on a row and make it due."""
        doc = await self._script["signal"](keys=[self._keys.job(job_id)], args=[self._prefix, job_id, name, value])
        return load_job(doc) if doc else None

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Take the ending of a closing row."""
        doc = await self._script["take"](keys=[self._keys.job(job_id)], args=[int(lease_s * 1000), "take"])
        return load_job(doc) if doc else None

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Go on holding endings that were taken."""
        for job_id in job_ids:
            await self._script["take"](keys=[self._keys.job(job_id)], args=[int(lease_s * 1000), "hold"])

    async def withdraw(self, job_id: str, once: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still sent."""
        keys = [self._keys.job(job_id), *self._keys.of_once(once)]
        return bool(await self._script["withdraw"](keys=keys, args=[self._prefix, job_id, "any"]))

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """End a row that is closing."""
        now, doc = await self._seen(job_id)
        job = load_job(doc) if doc else None
        if job is not None and job.ending is not None and not job.is_final:
            job = job.move(job.ending, history=(*job.history, HistoryEntry(now, "closed")))
            args: list[Any] = [job_id, dump_job(job), job.stage, int(forget_in_s * 1000)]
            await self._script["confirm"](keys=[*self._keys.written(job), self._keys.dead], args=args)

    async def _seen(self, job_id: str) -> tuple[float, bytes | None]:
        """Redis's clock, and the row's document, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hget(self._keys.job(job_id), "doc")
            (seconds, micros), doc = await pipe.execute()
        return float(seconds) + micros / 1e6, doc

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        doc = await self._redis.hget(self._keys.job(job_id), "doc")
        return load_job(doc) if doc else None

    async def row(self, job_id: str) -> Row | None:
        """The job with what the ledger keeps beside it, or None."""
        found: Any = await self._redis.hgetall(self._keys.job(job_id))
        if not found:
            return None
        due: Any = await self._redis.zscore(self._keys.due(found[b"queue"].decode()), job_id)
        return row_of(found, due, await self._redis.pexpiretime(self._keys.job(job_id)) if due is None else -1)

    async def dead(self, limit: int = 100) -> list[Job]:
        """The jobs that failed, newest first."""
        ids: Any = await self._redis.zrange(self._keys.dead, 0, limit - 1, desc=True)
        jobs = [await self.get(job_id.decode()) for job_id in ids]
        return [job for job in jobs if job]

    async def drop(self, job_id: str) -> bool:
        """Take a job from the list of the failed."""
        return bool(await self._redis.zrem(self._keys.dead, job_id))

    async def in_flight(self, queues: Sequence[str]) -> Mapping[str, int]:
        """How many rows of each queue have not ended."""
        return {queue: await self._redis.zcard(self._keys.due(queue)) for queue in queues}

    async def ping(self) -> float:
        """Redis's clock."""
        seconds, micros = await self._redis.time()
        return float(seconds) + micros / 1e6

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)


def lua(name: str) -> str:
    """A script by the name of its file."""
    return (files("worker.ledger") / f"{name}.lua").read_text()
