"""The ledger in Redis: one hash per job and one sorted set of due times per queue. Each atomic step is a Lua file here.

The blocking client for backends is `worker.ledger.producer`.

The client repeats a script after a lost connection. `accept`, `claim`, `signal` and `confirm` have the same effect when
they run twice. After a repeated `take`, the ending of the first run waits until its lease ends.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.errors import ClaimLostError, KeyReusedError
from worker.jobs.job import Job, dump_job
from worker.jobs.signals import CANCEL
from worker.ledger.base import (
    BACKDATE_S,
    RUN_KEPT_S,
    BadRow,
    Claim,
    IdempotencyKey,
    Row,
    UnreadableRowError,
    is_forgotten,
)
from worker.ledger.dead_messages import dead_message_keys
from worker.ledger.hash import ROW_VERSION, Keys, accepted_job, confirmed_doc, read_claim, read_job, read_row
from worker.net.redis_client import open_async_redis

log = structlog.get_logger(__name__)

_RUN_KEPT_MS = int(RUN_KEPT_S * 1000)
_SCRIPTS = ("accept", "claim", "renew", "write", "signal", "point", "take", "withdraw", "confirm", "aside")


def open_redis_ledger(url: str, prefix: str = "kilnhand:") -> "RedisLedger":
    """A ledger in the Redis at `url`. It connects at the first call; the caller closes it."""
    client = open_async_redis(
        url,
        max_connections=16,  # further callers wait; the plain pool would raise
        timeout=30,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3),
        retry_on_error=[RedisConnectionError, RedisTimeoutError, ReadOnlyError],  # the server was demoted to a replica
        client_name="kilnhand-ledger",
    )
    return RedisLedger(client, prefix)


class RedisLedger:
    """See `worker.ledger.base.Ledger`."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis, self._prefix, self._keys = client, prefix, Keys(prefix)
        self._script = {name: client.register_script(lua(name)) for name in _SCRIPTS}

    async def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[bool, Job]:
        """Write the row unless a row of this id is past *sent*."""
        now, sent = await self._time_and_doc(job.id)
        if sent is None and is_forgotten(job, now):
            log.warning("forgotten_job_not_accepted", job=job.id, sent_at=job.sent_at)
            return False, job
        job = accepted_job(job, sent, now)
        tenant = job.options.tenant or ""
        args: list[Any] = [job.id, dump_job(job), job.stage, job.queue, self._prefix, ROW_VERSION, tenant]
        args += [int(BACKDATE_S[job.options.priority] * 1000)]
        args += [key.fingerprint, int(key.keep_s * 1000)] if key else []
        new, found, *of = await self._script["accept"](keys=self._keys.written(job, key), args=args)
        if new < 0:
            first = await self.get(found.decode()) if key and of[0].decode() == key.fingerprint else None
            if first is None:
                raise KeyReusedError(f"idempotency_key: job {found.decode()} already owns it")
            return False, first
        return bool(new), read_job(job.id, found)

    async def claim(
        self, queues: Sequence[str], limit: int, lease_s: float, spare: int | None = None
    ) -> tuple[list[Claim], float | None]:
        """Claim due rows of these queues."""
        keys = [self._keys.due(queue) for queue in queues]
        most_spare = limit if spare is None else spare
        args: list[Any] = [self._prefix, limit, int(lease_s * 1000), uuid4().hex, ROW_VERSION, most_spare]
        now, wait, bad, *rows = await self._script["claim"](keys=keys, args=args)
        for job_id, reason in zip(bad[::2], bad[1::2], strict=True):
            log.error("row_set_aside", job=job_id.decode(errors="replace"), reason=reason.decode())
        claims: list[Claim] = []
        for row in rows:
            try:
                claims.append(read_claim(row, now / 1000))
            except UnreadableRowError as error:
                await self._set_aside(row, error.message)
        return claims, None if wait < 0 else wait / 1000

    async def _set_aside(self, flat: Any, reason: str) -> None:
        """Set a claimed row aside. If this fails, it is claimed again when its lease ends, and set aside then."""
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        job_id, due = fields[b"id"], fields[b"due"]
        queue = due.decode().removeprefix(self._keys.due(""))
        log.error("row_set_aside", job=job_id.decode(errors="replace"), reason=reason)
        try:
            await self._script["aside"](
                keys=[self._keys.job("").encode() + job_id, due, self._keys.bad],
                args=[job_id, fields[b"fence"], queue, reason],
            )
        except ResponseError as error:
            log.warning("row_not_set_aside", job=job_id.decode(errors="replace"), error=str(error))

    async def renew(self, held: Sequence[tuple[str, int]], lease_s: float) -> set[str]:
        """Extend these claims by a lease."""
        pairs = [part for job_id, fence in held for part in (job_id, fence)]
        lost = await self._script["renew"](keys=[], args=[self._prefix, int(lease_s * 1000), *pairs])
        return {job_id.decode() for job_id in lost}

    async def cancelled(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs whose rows have a cancel."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hexists(self._keys.job(job_id), f"signal:{CANCEL}")
            return {job_id for job_id, has in zip(job_ids, await pipe.execute(), strict=True) if has}

    async def keep(self, claim: Claim, job: Job, lease_s: float) -> None:
        """Write the row and extend the claim."""
        await self._write(claim, job, "keep", lease_s)

    async def release(self, claim: Claim, job: Job, due_in_s: float) -> None:
        """Write the row and end the claim."""
        await self._write(claim, job, "release", due_in_s)

    async def _write(self, claim: Claim, job: Job, mode: str, seconds: float) -> None:
        keys = [*self._keys.written(job), *([self._keys.run(run)] if (run := job.new_run) else [])]
        args: list[Any] = [job.id, claim.fence, dump_job(job), job.stage, mode, int(seconds * 1000), claim.signal_count]
        args += [ROW_VERSION, _RUN_KEPT_MS]
        if not await self._script["write"](keys=keys, args=args):
            raise ClaimLostError(f"job {job.id}: another worker holds the row since fence {claim.fence}")

    async def own_run(self, run: str, job_id: str) -> bool:
        """Make a run this job's unless it is another's."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(self._keys.run(run), job_id, nx=True, px=_RUN_KEPT_MS)
            pipe.get(self._keys.run(run))
            _, owner = await pipe.execute()
        return owner is not None and owner.decode() == job_id

    async def signal(self, job_id: str, name: str, value: str = "1") -> Job | None:
        """Store a signal on a row and make it due."""
        doc = await self._script["signal"](keys=[self._keys.job(job_id)], args=[self._prefix, job_id, name, value])
        return read_job(job_id, doc) if doc else None

    async def cancel(self, job_id: str, note_s: float) -> Job | None:
        """Store a cancel on a row, or note it for the id."""
        args: list[Any] = [self._prefix, job_id, CANCEL, "1", int(note_s * 1000)]
        doc = await self._script["signal"](keys=[self._keys.job(job_id)], args=args)
        return read_job(job_id, doc) if doc else None

    async def point(self, name: str, job_id: str, seen: str, keep_s: float) -> str:
        """Let a name point to a job."""
        args: list[Any] = [job_id, seen, int(keep_s * 1000)]
        found = await self._script["point"](keys=[self._keys.equal(name)], args=args)
        return str(found.decode())

    async def take(self, job_id: str, lease_s: float) -> Job | None:
        """Lease the ending of a closing row."""
        doc = await self._script["take"](keys=[self._keys.job(job_id)], args=[int(lease_s * 1000), "take"])
        return read_job(job_id, doc) if doc else None

    async def hold(self, job_ids: Sequence[str], lease_s: float) -> None:
        """Renew the leases of endings that were taken."""
        for job_id in job_ids:
            await self._script["take"](keys=[self._keys.job(job_id)], args=[int(lease_s * 1000), "hold"])

    async def withdraw(self, job_id: str, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*."""
        keys = [self._keys.job(job_id), *self._keys.idempotency(key)]
        return bool(await self._script["withdraw"](keys=keys, args=[self._prefix, job_id, "any"]))

    async def confirm(self, job_id: str, forget_in_s: float) -> None:
        """Move a closing row to its ending."""
        now, doc = await self._time_and_doc(job_id)
        job = read_job(job_id, doc) if doc else None
        if job is not None and doc is not None and job.ending is not None and not job.is_final:
            args: list[Any] = [job_id, confirmed_doc(doc, now), job.ending, int(forget_in_s * 1000)]
            args.append(int(job.is_possible_duplicate))
            keys = [*self._keys.written(job), self._keys.dead, self._keys.ended]
            await self._script["confirm"](keys=keys, args=args)

    async def _time_and_doc(self, job_id: str) -> tuple[float, bytes | None]:
        """Redis's clock and the row's document, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hget(self._keys.job(job_id), "doc")
            (seconds, micros), doc = await pipe.execute()
        return float(seconds) + micros / 1e6, doc

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        doc = await self._redis.hget(self._keys.job(job_id), "doc")
        return read_job(job_id, doc) if doc else None

    async def row(self, job_id: str) -> Row | None:
        """The job with its due time, claim and signals, or None."""
        found: Any = await self._redis.hgetall(self._keys.job(job_id))
        if not found:
            return None
        due: Any = await self._redis.zscore(self._keys.due(found.get(b"queue", b"").decode(errors="replace")), job_id)
        expires: Any = await self._redis.pexpiretime(self._keys.job(job_id)) if due is None else -1
        return read_row(job_id, found, due, expires)

    async def dead(self, limit: int = 100) -> list[Job]:
        """The failed jobs, newest first."""
        ids: Any = await self._redis.zrange(self._keys.dead, 0, limit - 1, desc=True)
        jobs: list[Job | None] = []
        for job_id in ids:
            try:
                jobs.append(await self.get(job_id.decode(errors="replace")))
            except (UnreadableRowError, ResponseError) as error:
                log.warning("row_unreadable", job=job_id.decode(errors="replace"), problem=str(error))
        return [job for job in jobs if job]

    async def possible_duplicates(self) -> int:
        """How many jobs have ended with a possibly duplicate attempt."""
        found: Any = await self._redis.hget(self._keys.ended, "possible_duplicates")
        return int(found or 0)

    async def messages_set_aside(self) -> int:
        """How many broker messages could not be read."""
        found: Any = await self._redis.hvals(dead_message_keys(self._prefix)[1])
        return sum(map(int, found))

    async def bad_rows(self) -> Mapping[str, BadRow]:
        """The rows that were set aside."""
        found: Any = await self._redis.hgetall(self._keys.bad)
        return {job_id.decode(errors="replace"): BadRow(**json.loads(row)) for job_id, row in found.items()}

    async def retry_bad_row(self, job_id: str) -> bool:
        """Make a row that was set aside due again."""
        found: Any = await self._redis.hget(self._keys.bad, job_id)
        if found is None:
            return False
        async with self._redis.pipeline() as pipe:
            pipe.zadd(self._keys.due(json.loads(found)["queue"]), {job_id: 0})
            pipe.hdel(self._keys.bad, job_id)
            await pipe.execute()
        return True

    async def drop(self, job_id: str) -> bool:
        """Remove a job from the list of failed jobs."""
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
    """The text of a script, by its file name without `.lua`."""
    return (files("worker.ledger") / f"{name}.lua").read_text()
