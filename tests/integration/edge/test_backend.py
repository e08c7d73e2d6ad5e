"""A final state in the result backend never changes, also with simultaneous writes."""

import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.app.task import Context

from worker.edge.states import LiveStates
from worker.jobs.job import Job, Options, Step
from worker.jobs.status import status_of

ROUNDS = 100


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("x", backend=f"worker.edge.backend.MonotonicRedisBackend+{redis_url}", set_as_current=False)
    app.conf.update(result_backend_thread_safe=True, result_extended=True)
    yield app
    app.backend.client.close()


def test_a_late_progress_never_overwrites_an_ending(app: Celery) -> None:
    def at_once(*writes: tuple[str, str, object]) -> None:
        start = threading.Barrier(len(writes))

        def write(task_id: str, state: str, result: object) -> None:
            start.wait()
            app.backend.store_result(task_id, result, state)

        threads = [threading.Thread(target=write, args=each) for each in writes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for n in range(ROUNDS):
        at_once((f"t{n}", "IN_PROGRESS", {"progress": 0.9}), (f"t{n}", "SUCCESS", {"images": []}))
    assert [app.AsyncResult(f"t{n}").state for n in range(ROUNDS)] == ["SUCCESS"] * ROUNDS


@pytest.mark.parametrize(("first", "second"), [("FAILURE", "SUCCESS"), ("REVOKED", "FAILURE"), ("SUCCESS", "REVOKED")])
def test_an_ending_never_changes(app: Celery, first: str, second: str) -> None:
    app.backend.store_result("t", ValueError("x") if first != "SUCCESS" else 1, first)
    app.backend.store_result("t", ValueError("y") if second != "SUCCESS" else 2, second)
    assert app.AsyncResult("t").state == first


@pytest.mark.parametrize("first", ["FAILURE", "REVOKED", "RETRY"])
def test_a_task_that_is_no_job_may_succeed_after_it_failed_as_in_celery(app: Celery, first: str) -> None:
    @app.task(name="shop.charge", shared=False)
    def charge() -> None: ...

    request = Context({"id": "t", "task": "shop.charge"})
    app.backend.store_result("t", ValueError("x"), first, request=request)
    app.backend.store_result("t", 2, "SUCCESS", request=request)
    assert (app.AsyncResult("t").state, app.AsyncResult("t").result) == ("SUCCESS", 2)
    app.backend.store_result("t", ValueError("y"), "FAILURE", request=request)
    assert app.AsyncResult("t").state == "SUCCESS"


async def test_a_live_state_is_stored_as_celery_stores_its_own(app: Celery, redis_url: str) -> None:
    job = Job(
        "j", "generation.text_to_image", "generation", {}, Step("flux-dev", {}, ()), Options(labels={"a": "b"}), 5.0,
        message={"id": "j", "task": "generation.text_to_image", "kwargs": {"prompt": "x"}, "root_id": "j"},
    )  # fmt: skip
    states = LiveStates(app.backend, redis_url)
    await states.write(job, status_of(job, 6.0))
    result = app.AsyncResult("j")
    assert (result.state, result.info["model"], result.info["labels"]) == ("QUEUED", "flux-dev", {"a": "b"})
    assert (result.name, result.kwargs) == ("generation.text_to_image", {"prompt": "x"})
    assert app.backend.client.ttl("celery-task-meta-j") > 0
    app.backend.store_result("j", {"done": 1}, "SUCCESS")
    await states.write(job, status_of(job, 7.0))
    assert app.AsyncResult("j").state == "SUCCESS"
    await states.aclose()


async def test_a_job_that_ignores_its_result_stores_no_state(app: Celery, redis_url: str) -> None:
    message = {"id": "j", "ignore_result": True}
    job = Job("j", "t", "generation", {}, Step("flux-dev", {}, ()), Options(), 5.0, message=message)
    states = LiveStates(app.backend, redis_url)
    await states.write(job, status_of(job, 6.0))
    assert app.backend.client.keys("celery-task-meta-*") == []
    await states.aclose()


def test_enqueueing_subscribes_to_nothing(app: Celery) -> None:
    assert app.backend.on_task_call(None, "t") == {}
    assert app.backend.client.pubsub_channels() == []
