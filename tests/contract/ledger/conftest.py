"""The ledgers under test, each with a way to let time pass and to send a row."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.redis_clock import RedisClock
from worker.jobs.job import Job, Options, Step
from worker.ledger.base import Ledger
from worker.ledger.memory import MemoryLedger
from worker.ledger.producer import open_redis_producer
from worker.ledger.redis import open_redis_ledger

LEASE_S = 0.3


@dataclass
class Bench:
    ledger: Ledger
    passes: Callable[[float], Any]  # let so many seconds pass
    send: Callable[[Job, float], Any]  # as a producer does


@pytest.fixture(params=["memory", "redis"])
async def bench(
    request: pytest.FixtureRequest, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    if request.param == "memory":
        clock = [1000.0]

        async def advance(seconds: float) -> None:
            clock[0] += seconds

        memory = MemoryLedger(lambda: clock[0])
        yield Bench(memory, advance, memory.send)
    else:
        redis_clock = RedisClock(redis_url, monkeypatch)
        ledger, producer = open_redis_ledger(redis_url), open_redis_producer(redis_url)

        async def send(row: Job, wait_s: float) -> None:
            await asyncio.to_thread(producer.send, row, wait_s)

        yield Bench(ledger, redis_clock.passes, send)
        redis_clock.close()
        await ledger.aclose()
        producer.close()


def job(job_id: str = "a", queue: str = "generation") -> Job:
    return Job(job_id, "generation.text_to_image", queue, {"prompt": "x"}, Step("m", {}, ()), Options(), created_at=0.0)
