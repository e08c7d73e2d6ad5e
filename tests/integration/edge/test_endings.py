"""How an ending reaches Celery: by a message without stamps, or directly if the task was removed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from celery import Celery, Task

from tasks.generation import text_to_image
from tests.conftest import point_producer_at
from worker.edge.message import ACCEPTED_AT_HEADER, STEP_OF_HEADER, send_again, send_closing
from worker.edge.pipeline import step_id
from worker.edge.publisher import CeleryPublisher
from worker.edge.shared_runs import RUN
from worker.edge.tracer import accepting_tracer
from worker.jobs.job import ErrorRecord, Job, Options, Stage, Step
from worker.ledger.redis import open_redis_ledger

JOB = Job("j", "a.task.that.was.removed", "generation", {}, Step("m", {}, ()), Options(), 5.0, message={"id": "j"})


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery(
        "x", broker=redis_url, backend=f"worker.edge.backend.MonotonicRedisBackend+{redis_url}", set_as_current=False
    )
    app.conf.update(result_backend_thread_safe=True)
    yield app
    app.backend.client.close()
    app.close()


@pytest.mark.parametrize(
    ("ending", "error", "state"),
    [(Stage.COMPLETED, None, "SUCCESS"), (Stage.FAILED, ErrorRecord("rate_limited", "slow"), "FAILURE")],
)
async def test_a_job_whose_task_was_removed_ends_all_the_same(
    app: Celery, redis_url: str, ending: Stage, error: ErrorRecord | None, state: str
) -> None:
    ledger = open_redis_ledger(redis_url)
    await ledger.accept(JOB)
    (claim,), _ = await ledger.claim(["generation"], 1, 8.0)
    job = claim.job.move(Stage.CLOSING, ending=ending, error=error, result={"images": []})
    await ledger.release(claim, job, 60)
    publisher = CeleryPublisher(app, ledger, redis_url, 60.0)
    await publisher.close(job)
    await publisher.aclose()
    row = await ledger.get("j")
    assert (app.AsyncResult("j").state, row and row.stage) == (state, ending)
    await ledger.aclose()


def test_a_closing_message_has_no_stamps_since_a_worker_drops_revoked_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Task, "apply_async", lambda self, args, kwargs, **options: sent.append(options))
    stamped = replace(JOB, message={"id": "j", "stamped_headers": ["shop"], "stamps": {"shop": "7"}})
    send_again(text_to_image, stamped)
    send_closing(text_to_image, stamped)
    first, closing = sent
    assert (first["stamped_headers"], first["shop"]) == (["shop"], "7")
    assert "shop" not in closing and not closing.get("stamped_headers")
    assert (ACCEPTED_AT_HEADER in closing["headers"], ACCEPTED_AT_HEADER in first["headers"]) == (True, False)


class Service:
    """Notes what becomes of endings."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda job_id: self.calls.append((name, job_id))


@pytest.mark.parametrize(
    ("claim", "calls"), [(None, ["confirm"]), ("done", ["confirm"]), ("token of a worker that has died", [])]
)
def test_an_ending_comes_again_while_a_worker_may_have_died_before_it_sent_the_chords_body(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, claim: str | None, calls: list[str]
) -> None:
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    if claim:
        backend = text_to_image.app.backend
        backend.client.set(backend.get_key_for_group("g", ".c"), claim)
    service = Service()
    monkeypatch.setattr(text_to_image.app, "job_service", service, raising=False)
    text_to_image.push_request(id="j", group="g", chord={"task": "x"}, **{ACCEPTED_AT_HEADER: 1.0})
    try:
        text_to_image.after_return("SUCCESS", {}, "j", (), {}, None)
    finally:
        text_to_image.pop_request()
    assert service.calls == [(call, "j") for call in calls]


def test_a_delivery_that_celery_failed_to_finish_holds_its_ending_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    monkeypatch.setattr(text_to_image.app, "job_service", service, raising=False)

    def fails(*_: Any) -> None:
        raise ConnectionError("Redis was frozen for longer than its timeout")

    trace = accepting_tracer(text_to_image, fails)
    with pytest.raises(ConnectionError):
        trace("j", (), {}, {"id": "j", ACCEPTED_AT_HEADER: 1.0})
    assert service.calls == [("leave", "j")]


async def test_a_revoked_part_is_not_confirmed_while_its_chord_is_open(app: Celery, redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url)
    await ledger.accept(replace(JOB, message={"id": "j", "group": "g", "chord": {"task": "x", "options": {}}}))
    (claim,), _ = await ledger.claim(["generation"], 1, 8.0)
    job = claim.job.move(Stage.CLOSING, ending=Stage.CANCELLED)
    await ledger.release(claim, job, 60)
    app.backend.client.set(app.backend.get_key_for_group("g", ".c"), "token")
    publisher = CeleryPublisher(app, ledger, redis_url, 60.0)
    await publisher.close(job)
    row = await ledger.get("j")
    assert row and row.stage == Stage.CLOSING
    app.backend.client.delete(app.backend.get_key_for_group("g", ".c"))
    await publisher.close(job)
    row = await ledger.get("j")
    assert row and row.stage == Stage.CANCELLED
    await publisher.aclose()
    await ledger.aclose()


async def test_the_end_of_a_shared_run_wakes_the_jobs_that_have_a_part_in_it(app: Celery, redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url)
    run = replace(JOB, id=step_id("a", RUN), message={"id": step_id("a", RUN), "headers": {STEP_OF_HEADER: ["a", RUN]}})
    for row in (run, *(replace(JOB, id=name, queue="video") for name in "abc")):
        await ledger.accept(row)
    for name in ("joined:a", "joined:b", "joined:c", "left:c", "webhook:1"):
        await ledger.signal(run.id, name)
    (claim,), _ = await ledger.claim(["generation"], 1, 8.0)
    job = claim.job.move(Stage.CLOSING, ending=Stage.CANCELLED)
    await ledger.release(claim, job, 60)
    publisher = CeleryPublisher(app, ledger, redis_url, 60.0)
    await publisher.close(job)
    woken = [name for name in "abc" if (found := await ledger.row(name)) and f"step_ended:{RUN}" in found.signals]
    assert woken == ["a", "b"]
    await publisher.aclose()
    await ledger.aclose()
