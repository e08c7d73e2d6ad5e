"""Workers die, are stopped, and come back; jobs do not notice."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.result import ResultSet

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import BARE_ROUTES, wait_until
from worker.cli.processes.stack import Stack, run_stack
from worker.jobs.job import Stage, load_job


@pytest.fixture
def fresh(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack of its own, since its workers are killed."""
    with run_stack(tmp_path, processes=("redis", "twin", "worker"), persist=True) as stack:
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def stages(stack: Stack) -> list[Stage]:
    import redis

    with redis.Redis.from_url(stack.redis_url) as client:
        return [load_job(client.hget(key, "doc")).stage for key in client.scan_iter("kilnhand:job:*")]


def test_fifty_jobs_that_wait_when_their_worker_is_killed_are_ended_by_another(fresh: Stack) -> None:
    twin = Twin(fresh.twin_url)
    twin.pace(seconds=600, concurrency=100)
    jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(50)]
    wait_until(lambda: stages(fresh) == [Stage.WAITING] * 50, "all wait")
    fresh["worker"].kill()
    fresh.start_worker("worker-2")
    twin.finish()
    results = ResultSet(jobs).get(timeout=120)
    assert len({result["request_id"] for result in results}) == 50
    assert twin.count == 50


def test_a_worker_that_is_asked_to_stop_goes_at_once_and_its_jobs_go_on(fresh: Stack) -> None:
    twin = Twin(fresh.twin_url)
    twin.pace(seconds=600, concurrency=100)
    jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(30)]
    wait_until(lambda: stages(fresh) == [Stage.WAITING] * 30, "all wait")
    fresh["worker"].stop(grace_s=60)
    assert fresh["worker"].returncode == 0, "it did not wait for its jobs, nor was it killed"
    assert stages(fresh) == [Stage.WAITING] * 30
    fresh.start_worker("worker-2")
    twin.finish()
    assert len(ResultSet(jobs).get(timeout=120)) == 30
    assert twin.count == 30


def test_a_worker_minds_only_the_queues_it_consumes(fresh: Stack) -> None:
    fresh["worker"].stop()
    fresh.start_worker("worker-video", queues="video")
    job = text_to_image.delay(prompt="x")
    other = fresh.start_worker("worker-pictures", queues="generation")
    assert job.get(timeout=120)["images"]
    assert job.id in other.log_text()
    assert job.id not in fresh["worker-video"].log_text()


def test_a_redis_that_restarts_loses_no_job_and_no_worker(fresh: Stack) -> None:
    twin = Twin(fresh.twin_url)
    twin.pace(seconds=600, concurrency=100)
    jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(20)]
    wait_until(lambda: stages(fresh) == [Stage.WAITING] * 20, "all wait")
    fresh["redis"].stop()
    fresh["redis"].start()
    fresh["redis"].wait_ready()
    twin.finish()
    wait_until(lambda: all(job.state == "SUCCESS" for job in jobs), "all have ended")
    assert fresh["worker"].is_alive
    assert twin.count == 20
    twin.pace(seconds=0.1)
    assert text_to_image.delay(prompt="after").get(timeout=120)["images"]


def test_a_worker_that_is_stopped_in_the_middle_of_a_submission_writes_its_ticket_first(fresh: Stack) -> None:
    twin = Twin(fresh.twin_url)
    twin.script(endpoint="*", call="submit", what="slow", seconds=5, times=3, accepted=True)
    jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(3)]
    wait_until(lambda: stages(fresh) == [Stage.SUBMITTING] * 3, "all POSTs are out")
    fresh["worker"].stop(grace_s=60)
    assert fresh["worker"].returncode == 0
    assert stages(fresh) == [Stage.WAITING] * 3
    fresh.start_worker("worker-2")
    assert len(ResultSet(jobs).get(timeout=120)) == 3
    assert twin.count == 3


def test_a_redis_that_is_away_for_longer_than_a_lease_loses_no_ticket(fresh: Stack) -> None:
    twin = Twin(fresh.twin_url)
    fresh["worker"].stop()
    fresh.start_worker("worker-2", env={"KILNHAND_LEASE_S": "1"})
    twin.script(endpoint="*", call="submit", what="slow", seconds=3, times=10, accepted=True)
    jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(10)]
    wait_until(lambda: stages(fresh) == [Stage.SUBMITTING] * 10, "all POSTs are out")
    fresh["redis"].stop()
    wait_until(lambda: twin.count == 10, "all were taken while Redis is away")
    lease_over = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > lease_over, "the answers came and the leases ended")
    fresh["redis"].start()
    fresh["redis"].wait_ready()
    wait_until(lambda: all(job.state == "SUCCESS" for job in jobs), "all have ended well")
    assert twin.count == 10


def test_a_message_that_cannot_become_a_row_does_not_hold_up_the_worker(fresh: Stack) -> None:
    deep: object = "end"
    for _ in range(300):
        deep = [deep]
    client = Celery("backend", broker=fresh.redis_url, backend=fresh.redis_url, set_as_current=False)
    client.conf.task_routes = BARE_ROUTES
    broken = [client.send_task("generation.text_to_image", args=[deep], kwargs={"prompt": "x"}) for _ in range(12)]
    assert text_to_image.delay(prompt="after").get(timeout=120)["images"]
    wait_until(lambda: all(each.state == "FAILURE" for each in broken), "they have failed")
