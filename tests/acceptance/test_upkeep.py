"""Nothing has to be swept: what is over leaves Redis by itself, to the last key."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import chain

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from worker.cli.processes.stack import Stack, run_stack

JOBS = 150


@pytest.fixture
def alone(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack of its own, whose Redis has nothing else."""
    with run_stack(tmp_path, processes=("redis", "twin", "worker", "gateway")) as stack:
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()


def test_finished_jobs_leave_no_key_and_no_memory_behind(alone: Stack) -> None:
    twin = Twin(alone.twin_url)
    twin.pace(seconds=0.2, concurrency=100)
    with redis.Redis.from_url(alone.redis_url, decode_responses=True) as client:
        text_to_image.delay(prompt="warm", image_size="square").get(timeout=120)
        wait_until(lambda: pass_a_year(client), "the first job is forgotten")
        before, used = set(client.scan_iter()), memory(client)
        jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(JOBS)]
        twin.script(endpoint="*", call="submit", what="http", status=422, times=5)
        jobs += [text_to_image.delay(prompt=f"refused {n}", image_size="square") for n in range(5)]
        jobs += [chain(text_to_image.si(prompt="a"), text_to_image.si(prompt="b")).delay() for _ in range(5)]
        for job in jobs[:10]:
            job.revoke()
        peak = [0]

        def all_have_ended() -> bool:
            peak[0] = max(peak[0], memory(client))
            return all(client.hget(key, "stage") in {"completed", "failed", "cancelled"} for key in ours(client))

        wait_until(all_have_ended, "all have ended")
        wait_until(lambda: pass_a_year(client), "all are forgotten")
        wait_until(lambda: set(client.scan_iter()) <= before, "no other key is left")
        grown = memory(client) - used
        assert grown < (peak[0] - used) / 10, f"{grown} bytes stay of {peak[0] - used}"


def ours(client: "redis.Redis") -> list[str]:
    return list(client.scan_iter("kilnhand:job:*"))


def pass_a_year(client: "redis.Redis") -> bool:
    """End the lifetime of every key that has one. True when no row is left: each of them had one."""
    for key in client.scan_iter():
        if int(client.ttl(key)) > 60:  # type: ignore[arg-type]  # shorter ones are leases
            client.pexpire(key, 1)
    return not ours(client)


def memory(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory_dataset"])
