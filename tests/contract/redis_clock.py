"""A clock of the test's own for our scripts in a real Redis, so that no lease ends because the machine is busy.

Redis itself expires keys by real time, too: a key that lives for less than a second may be gone early.
"""

import time
from typing import Any

import pytest
import redis
from redis.commands.core import ManagementCommands

import worker.health.redis
import worker.ledger.producer
import worker.ledger.redis

CLOCK = "tests:clock"
NOW = f"redis.call('HMGET', '{CLOCK}', 's', 'us')"


class RedisClock:
    """The time that scripts and clients of our ledger and health get, from now on. It moves only by `passes`."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch) -> None:
        self._client, self._micros = redis.Redis.from_url(url), time.time_ns() // 1000
        self._write()
        for module in (worker.ledger.redis, worker.ledger.producer, worker.health.redis):
            patch.setattr(module, "lua", lambda name, real=module.lua: real(name).replace("redis.call('TIME')", NOW))
        patch.setattr(ManagementCommands, "time", _time)

    async def passes(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._micros += round(seconds * 1e6)
        self._write()
        for key in self._client.scan_iter():
            if (left_ms := self._client.pttl(key)) >= 0:
                self._client.pexpire(key, max(0, left_ms - round(seconds * 1000)))

    def close(self) -> None:
        self._client.close()

    def _write(self) -> None:
        seconds, micros = divmod(self._micros, 1_000_000)
        self._client.hset(CLOCK, mapping={"s": seconds, "us": micros})


def _time(client: Any, **options: Any) -> Any:
    """In place of redis-py's TIME, which every client has."""
    return client.execute_command("EVAL", f"local t = {NOW} return {{tonumber(t[1]), tonumber(t[2])}}", 0)
