"""The rows of a world in a real Redis: the ledger's own clients and scripts, on the world's clock.

One Redis for each process of the run, on a socket in a temporary folder. Two things are changed: a script reads the
time from a key, which is set before every command, and the rows are read again after every command, for the checks.
Redis's own clock stands still for a world, so nothing expires in it.
"""

import asyncio
import atexit
import ctypes
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.cli.processes.redis_server import redis_server_binary
from worker.jobs.job import Job, load_job
from worker.ledger import producer, redis
from worker.ledger.base import IdempotencyKey
from worker.ledger.hash import SIGNAL
from worker.ledger.memory import StoredRow

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PREFIX, CLOCK = "kilnhand:", "simulated:clock"
_ASYNC = (
    "accept", "claim", "renew", "cancelled", "keep", "release", "signal", "cancel", "take", "hold", "confirm", "get", "row",
    "dead", "in_flight", "ping", "own_run",
)  # fmt: skip


def lua_on_the_worlds_clock(name: str) -> str:
    """The text of a script that asks a key for the time."""
    text = _lua(name)
    return text.replace("redis.call('TIME')", f"redis.call('HMGET', '{CLOCK}', 's', 'us')")


_lua = redis.lua


class _Ledger(redis.RedisLedger):
    clock: Callable[[], float]

    async def _time_and_doc(self, job_id: str) -> tuple[float, bytes | None]:
        return self.clock(), await self._redis.hget(self._keys.job(job_id), "doc")

    async def ping(self) -> float:
        return self.clock()


class Scripts:
    """A Redis, and both clients of the ledger on it. Started once in a process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "redis.sock"
        quiet = ["--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        command = [redis_server_binary(), *quiet, "--unixsocket", str(path), "--dir", self._folder.name]
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, preexec_fn=_end_with_parent)
        atexit.register(self._stop)
        self.client = Redis(unix_socket_path=str(path))
        _wait_until(lambda: _answers(self.client))
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        redis.lua = producer.lua = lua_on_the_worlds_clock
        try:
            self.ledger = _Ledger(AsyncRedis(unix_socket_path=str(path)), PREFIX)
            self.producer = producer.RedisProducer(self.client, PREFIX)
        finally:
            redis.lua = producer.lua = _lua

    def run(self, work: Any) -> Any:
        """The result of a coroutine of the ledger."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _end_with_parent() -> None:
    """A process of a pool is killed, and runs nothing at its end."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_scripts: Scripts | None = None


def _of_this_process() -> Scripts:
    global _scripts
    if _scripts is None:
        _scripts = Scripts()
    return _scripts


class ScriptedLedger:
    """What `worker.ledger.memory.MemoryLedger` is in other worlds. `rows` is what Redis has."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._scripts = clock, _of_this_process()
        self._scripts.client.flushdb()
        self._scripts.ledger.clock = clock
        self.rows: dict[str, StoredRow] = {}
        self.commands = 0
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in _ASYNC:
            raise AttributeError(name)
        method = getattr(self._scripts.ledger, name)

        async def call(*args: Any, **named: Any) -> Any:
            return self._do(lambda: self._scripts.run(method(*args, **named)))

        return call

    async def send(self, job: Job, wait_s: float) -> None:
        """As a producer does."""
        self._do(lambda: self._scripts.producer.send(job, wait_s))

    async def withdraw(self, job_id: str, key: IdempotencyKey | None = None) -> bool:
        """As a producer does."""
        return bool(self._do(lambda: self._scripts.producer.withdraw(self.rows[job_id].job, key)))

    def _do(self, work: Callable[[], Any]) -> Any:
        self.commands += 1
        micros = round(self._clock() * 1e6)
        self._scripts.client.hset(CLOCK, mapping={"s": micros // 1_000_000, "us": micros % 1_000_000})
        try:
            return work()
        finally:
            self._read_rows()

    def _read_rows(self) -> None:
        client = self._scripts.client
        keys: Sequence[bytes] = client.keys(f"{PREFIX}job:*")  # type: ignore[assignment]
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(key)
            found = dict(zip(keys, pipe.execute(), strict=True))
        ids = {key: key.decode().removeprefix(f"{PREFIX}job:") for key in keys}
        self.rows = {ids[key]: self._row(ids[key], fields) for key, fields in sorted(found.items())}

    def _row(self, job_id: str, fields: dict[bytes, bytes]) -> StoredRow:
        """The row, with the same `Job` as long as its document is the same."""
        doc = fields[b"doc"]
        if self._read.get(job_id, (None,))[0] != doc:
            self._read[job_id] = doc, load_job(doc)
        due: Any = self._scripts.client.zscore(f"{PREFIX}due:{fields[b'queue'].decode()}", job_id)
        signals = {
            name.decode().removeprefix(SIGNAL): value.decode()
            for name, value in fields.items()
            if name.decode().startswith(SIGNAL)
        }
        return StoredRow(
            self._read[job_id][1],
            due=float("inf") if due is None else due / 1000,
            fence=int(fields[b"fence"]),
            claims_since_write=int(fields[b"strikes"]),
            until=int(fields[b"until"]) / 1000,
            signal_count=int(fields[b"heard"]),
            signals=signals,
        )


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


def _wait_until(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not claim():
        if time.monotonic() > end:
            raise RuntimeError("Redis does not answer")
        time.sleep(0.02)
