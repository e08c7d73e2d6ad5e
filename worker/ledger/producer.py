"""The ledger's client for backends: blocking, thread-safe, safe to fork."""

from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from worker.errors import KeyReusedError
from worker.jobs.job import Job, dump_job
from worker.jobs.signals import CANCEL
from worker.ledger.base import IdempotencyKey, Row
from worker.ledger.hash import ROW_VERSION, Keys, read_job, read_row
from worker.ledger.redis import lua
from worker.net.redis_client import open_redis


def open_redis_producer(url: str, prefix: str = "kilnhand:") -> "RedisProducer":
    """A producer for the ledger in the Redis at `url`. It connects at the first call; the caller closes it."""
    client = open_redis(
        url,
        max_connections=8,
        timeout=10,
        socket_timeout=10,
        socket_connect_timeout=2,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 2),
        client_name="kilnhand-producer",
    )
    return RedisProducer(client, prefix)


class RedisProducer:
    """See `worker.ledger.base.Producer`. A repeated `send` finds its own row and does not change it."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis, self._keys = client, Keys(prefix)
        self._script = {name: client.register_script(lua(name)) for name in ("send", "share", "withdraw", "signal")}

    def take_share(self, queue: str, tenant: str) -> bool:
        """Take one job of the tenant's share of this queue."""
        return bool(self._script["share"](keys=[self._keys.sends(queue, tenant)]))

    def send(self, job: Job, wait_s: float, key: IdempotencyKey | None = None) -> str:
        """Write a row at stage *sent*, or find the job that owns the key."""
        args: list[Any] = [job.id, dump_job(job), job.queue, int(wait_s * 1000), self._keys.prefix, ROW_VERSION]
        args += [key.fingerprint, int(key.keep_s * 1000)] if key else []
        found, *rest = self._script["send"](keys=self._keys.written(job, key), args=args)
        job_id = str(found.decode())
        if key and rest[0].decode() != key.fingerprint:
            raise KeyReusedError(f"idempotency_key: was used for another request, by job {job_id}")
        return job_id

    def withdraw(self, job: Job, key: IdempotencyKey | None = None) -> bool:
        """Remove a row that is still *sent*, and its key."""
        keys = [self._keys.job(job.id), *self._keys.idempotency(key)]
        return bool(self._script["withdraw"](keys=keys, args=[self._keys.prefix, job.id, "untouched"]))

    def cancel(self, job_id: str, note_s: float) -> Job | None:
        """Store a cancel on a row, or note it for the id."""
        args: list[Any] = [self._keys.prefix, job_id, CANCEL, "1", int(note_s * 1000)]
        doc = self._script["signal"](keys=[self._keys.job(job_id)], args=args)
        return read_job(job_id, doc) if doc else None

    def row(self, job_id: str) -> Row | None:
        """The job with its due time, claim and signals, or None."""
        found: Any = self._redis.hgetall(self._keys.job(job_id))
        if not found:
            return None
        due: Any = self._redis.zscore(self._keys.due(found.get(b"queue", b"").decode(errors="replace")), job_id)
        expires: Any = self._redis.pexpiretime(self._keys.job(job_id)) if due is None else -1
        return read_row(job_id, found, due, expires)

    def now(self) -> float:
        """The ledger's clock, seconds since the epoch."""
        seconds, micros = self._redis.time()
        return float(seconds) + micros / 1e6

    def close(self) -> None:
        """Close connections."""
        self._redis.close()
