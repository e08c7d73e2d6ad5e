"""A user's own tasks in our worker, control commands, callbacks and keys of a backend that has only Celery."""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord, signature

from tests.acceptance.conftest import Twin
from tests.conftest import BARE_ROUTES, wait_until
from worker.cli.processes.specs import heartbeat_file
from worker.cli.processes.stack import Stack, run_stack

NOTES = "own:notes"  # of own_tasks_app; its import would make a worker of this process
PICTURE = "generation.text_to_image"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker with own tasks that takes from `generation` and `own`; its visibility timeout is a second."""
    with run_stack(tmp_path_factory.mktemp("neighbours"), processes=("redis", "twin")) as stack:
        beat = heartbeat_file(stack.folder, "worker-own")
        command = [sys.executable, "-m", "celery", "-A", "tests.acceptance.own_tasks_app", "worker", "--without-mingle",
                   "--without-gossip", "--queues", "generation,own"]  # fmt: skip
        env = {"PYTHONPATH": str(Path(__file__).parents[2])}
        stack.add("worker-own", command, lambda since: beat.exists() and beat.stat().st_mtime > since, env).wait_ready()
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture(scope="module")
def shop(home: Stack) -> Iterator[Celery]:
    """A backend that has only Celery. Its own default queue is `shop`."""
    shop = Celery("shop", broker=home.redis_url, backend=home.redis_url, set_as_current=False)
    shop.conf.update(task_routes=BARE_ROUTES, task_default_queue="shop")
    yield shop
    gc.collect()
    shop.close()


@pytest.fixture
def client(home: Stack) -> Iterator["redis.Redis[str]"]:
    with redis.Redis.from_url(home.redis_url, decode_responses=True) as client:
        client.delete(NOTES)
        yield client


@pytest.fixture
def twin(home: Stack) -> Twin:
    twin = Twin(home.twin_url)
    twin.reset()
    return twin


def stamped(**stamps: str) -> dict[str, Any]:
    return {"stamped_headers": list(stamps), **stamps}


def test_a_long_and_a_late_task_of_ones_own_run_once(shop: Celery, client: Any) -> None:
    long = shop.send_task("own.note", args=["long", 3.0], queue="own")
    late = shop.send_task("own.note", args=["late"], queue="own", countdown=3)
    assert long.get(timeout=120) == late.get(timeout=120)
    time.sleep(0.5)
    assert sorted(client.lrange(NOTES, 0, -1)) == ["late", "long"], "three times the visibility timeout has passed"


def test_a_task_of_ones_own_may_succeed_after_it_failed(shop: Celery, client: Any) -> None:
    for state in ("FAILURE", "SUCCESS"):
        shop.send_task("own.fails", args=["x"], queue="own", task_id="again")
        stored = f'"status": "{state}"'
        wait_until(lambda stored=stored: stored in (client.get("celery-task-meta-again") or ""), f"it is {state}")


def test_callbacks_without_a_queue_go_to_the_queue_that_their_backend_names(
    shop: Celery, twin: Twin, client: Any
) -> None:
    notify, later = signature("shop.notify", app=shop), signature("shop.later", app=shop)
    for queue, headers in (("celery", None), ("shop", {"kilnhand_callbacks": "shop"})):
        client.delete("celery", "shop")
        job = chain(
            shop.signature(PICTURE, kwargs={"prompt": "x"}).set(link=notify.clone(), headers=headers), later.clone()
        )
        job.apply_async()
        shop.send_task(PICTURE, kwargs={"prompt": "x", "num_images": 99}, link_error=notify.clone(), headers=headers)
        part = shop.signature(PICTURE, kwargs={"prompt": "x"}).set(headers=headers)
        chord([part, part.clone()], app=shop)(later.clone())
        wait_until(lambda queue=queue: client.llen(queue) == 4, f"link, chain, errback and body wait in {queue}")
    assert client.llen("celery") == 0


def test_a_key_that_is_used_again_by_the_same_request_gives_the_first_result(
    shop: Celery, twin: Twin, client: Any
) -> None:
    twin.pace(seconds=2)
    first, second = (shop.send_task(PICTURE, kwargs={"prompt": "x", "idempotency_key": "7"}) for _ in range(2))
    wait_until(lambda: second.state in {"QUEUED", "IN_PROGRESS"}, "it shows the state of the first")
    assert second.get(timeout=120) == first.get(timeout=120)
    third = shop.send_task(PICTURE, kwargs={"prompt": "x", "idempotency_key": "7"})
    assert third.get(timeout=120) == first.get(timeout=120)
    assert twin.count == 1
    other = shop.send_task(PICTURE, kwargs={"prompt": "y", "idempotency_key": "7"})
    assert "KeyReusedError" in repr(other.get(timeout=120, propagate=False))


def by_stamp(shop: Celery, job_id: str) -> None:
    shop.control.revoke_by_stamped_headers({"order": "8"})


def by_terminate(shop: Celery, job_id: str) -> None:
    shop.control.broadcast("terminate", arguments={"signal": "SIGTERM", "task_id": job_id})  # as `celery control` does


@pytest.mark.parametrize("end", [by_stamp, by_terminate])
def test_a_job_is_cancelled_by_every_command_that_ends_tasks(
    shop: Celery, twin: Twin, client: Any, end: Callable[[Celery, str], None]
) -> None:
    client.delete("shop")
    twin.pace(seconds=60)
    follows = {"link_error": signature("shop.notify", app=shop), "headers": {"kilnhand_callbacks": "shop"}}
    stamps = stamped(order="8" if end is by_stamp else "9")
    sent = shop.send_task(PICTURE, kwargs={"prompt": "x"}, **follows, **stamps)
    wait_until(lambda: twin.count == 1, "it runs")
    end(shop, sent.id)
    wait_until(lambda: sent.state == "REVOKED", "it is revoked")
    wait_until(lambda: client.llen("shop") == 1, "its errback goes back to the shop")
    wait_until(lambda: all(run["is_cancelled"] for run in twin.requests()), "its run is cancelled")
    if end is by_stamp:
        later = shop.send_task(PICTURE, kwargs={"prompt": "x"}, **stamped(order="8"))
        wait_until(lambda: later.state == "REVOKED", "one that comes later is revoked, too")
        assert twin.count == 1


def test_the_jobs_of_a_queue_that_is_added_are_taken_and_advanced(shop: Celery, twin: Twin) -> None:
    sent = shop.send_task(PICTURE, kwargs={"prompt": "x"}, queue="added")
    shop.control.add_consumer("added")
    assert sent.get(timeout=120)["images"]


def test_a_rate_limit_counts_a_job_once(shop: Celery, twin: Twin) -> None:
    shop.control.rate_limit(PICTURE, "1/h", reply=True, timeout=60)
    try:
        sent = shop.send_task(PICTURE, kwargs={"prompt": "x"})
        assert sent.get(timeout=120)["images"], "a closing message that counted would wait for an hour"
    finally:
        shop.control.rate_limit(PICTURE, 0)
