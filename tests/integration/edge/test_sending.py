"""`delay()` writes the row first, then the message; one idempotency key is one job, however often it is sent."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Task, group
from celery.backends.redis import RedisBackend
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.conftest import RedisServer, point_producer_at
from worker.edge import sending
from worker.edge.app import app
from worker.errors import InvalidRequestError, KeyReusedError
from worker.jobs.job import Stage
from worker.ledger.redis import open_redis_ledger


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def messages(client: redis.Redis, queue: str = "generation") -> list[str]:
    """The ids of the messages in a queue."""
    return [json.loads(raw)["headers"]["id"] for raw in client.lrange(queue, 0, -1)]


def test_the_row_is_written_before_the_message(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def publish(self: Task, args: Any, kwargs: Any, **options: Any) -> None:
        row = sending.producer().row(options["task_id"])
        seen.append((row and row.job.stage, messages(client)))

    monkeypatch.setattr(Task, "apply_async", publish)
    text_to_image.delay(prompt="x")
    assert seen == [(Stage.SENT, [])]


def test_eager_mode_is_refused_before_anything_is_sent(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match="caller's process"):
        text_to_image.apply(kwargs={"prompt": "x"})
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    for send in (text_to_image.delay, lambda **fields: group(text_to_image.s(**fields)).apply_async()):
        with pytest.raises(ImproperlyConfigured, match="caller's process"):
            send(prompt="x")
    assert list(client.scan_iter("*")) == []


def test_a_row_that_was_sent_is_due_when_no_worker_accepts_it(client: redis.Redis) -> None:
    job = text_to_image.delay(prompt="x")
    later = text_to_image.apply_async(kwargs={"prompt": "x"}, countdown=100)
    rows = [sending.producer().row(each.id) for each in (job, later)]
    waits = [row.due_at - row.job.sent_at for row in rows if row and row.due_at and row.job.sent_at]
    assert [round(wait) for wait in waits] == [8, 108]
    assert messages(client) == [later.id, job.id]


def test_a_message_that_cannot_be_sent_leaves_no_row(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(self: Task, args: Any, kwargs: Any, **options: Any) -> None:
        raise OperationalError("the broker is away")

    monkeypatch.setattr(Task, "apply_async", publish)
    with pytest.raises(OperationalError, match="broker"):
        text_to_image.delay(prompt="x", idempotency_key="k")
    assert list(client.scan_iter("kilnhand:*")) == []


def test_without_a_ledger_nothing_is_sent(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    point_producer_at({"KILNHAND_REDIS_URL": "redis://127.0.0.1:1/0"}, monkeypatch)
    with pytest.raises(OperationalError, match="nothing was sent"):
        text_to_image.delay(prompt="x")


def test_a_row_that_a_second_caller_was_given_stays_when_its_message_cannot_be_sent(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    followers: list[str] = []

    def publish(self: Task, args: Any, kwargs: Any, **options: Any) -> None:
        if not followers:  # the same key, while the first message is being published
            followers.append("")
            followers[0] = text_to_image.delay(prompt="x", idempotency_key="k").id
        raise OperationalError("the broker is away")

    monkeypatch.setattr(Task, "apply_async", publish)
    with pytest.raises(OperationalError):
        text_to_image.delay(prompt="x", idempotency_key="k")
    row = sending.producer().row(followers[0])
    assert row and row.job.stage == Stage.SENT and row.due_at


@pytest.mark.parametrize(
    "canvas", [lambda s: s | image_to_video.s(prompt="y"), lambda s: group(s, text_to_image.s(prompt="z"))]
)
def test_a_key_of_another_job_is_refused_in_a_canvas_since_other_tasks_depend_on_its_ids(
    client: redis.Redis, canvas: Any
) -> None:
    first = text_to_image.delay(prompt="x", idempotency_key="k")
    with pytest.raises(KeyReusedError, match=f"job {first.id} already owns it"):
        canvas(text_to_image.s(prompt="x", idempotency_key="k")).apply_async()
    assert first.id in messages(client)


def test_a_message_from_a_finished_job_is_published_even_without_a_row(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_to_image.delay(prompt="x", idempotency_key="k")
    taken = text_to_image.apply_async((), {"prompt": "y", "idempotency_key": "k"}, parent_id="p", task_id="next")
    assert taken.id == "next"
    assert "next" in messages(client)
    assert sending.producer().row("next") is None


class Away:
    """A ledger that does not answer the first calls of one method."""

    def __init__(self, real: Any, method: str, left: int) -> None:
        self.real, self.method, self.left = real, method, left

    def __getattr__(self, name: str) -> Any:
        if name == self.method and self.left > 0:
            self.left -= 1
            raise redis.ConnectionError("max number of clients reached")
        return getattr(self.real, name)


def as_next_of_a_chain(job_id: str) -> Any:
    return text_to_image.apply_async((), {"prompt": "y"}, parent_id="p", task_id=job_id)


def as_body_of_a_chord(job_id: str) -> Any:
    """As Celery's backend sends it: it counts the last part, and calls the body without a parent."""
    calls: list[Any] = []

    def count(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(text_to_image.si(prompt="y").set(task_id=job_id).delay([{}]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisBackend, "on_chord_part_return", count)
        app.backend.on_chord_part_return(None, "SUCCESS", None)
    return calls[0]


follows = pytest.mark.parametrize("send", [as_next_of_a_chain, as_body_of_a_chord])


@follows
@pytest.mark.parametrize("method", ["now", "send"])
@pytest.mark.parametrize(("how_often", "has_row"), [(1, True), (1_000_000, False)])
def test_what_follows_finished_work_waits_for_the_ledger_and_is_then_sent_without_its_row(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, send: Any, method: str, how_often: int, has_row: bool
) -> None:
    real = sending.producer()
    away = Away(real, method, how_often)
    monkeypatch.setattr(sending, "producer", lambda: away)
    monkeypatch.setattr(sending, "LEDGER_WAIT_S", 1.2)
    assert send("next").id == "next"
    assert messages(client) == ["next"]
    assert bool(real.row("next")) is has_row


@follows
def test_what_follows_finished_work_is_sent_by_a_worker_if_its_message_cannot_be_published(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, send: Any
) -> None:
    def publish(self: Task, args: Any, kwargs: Any, **options: Any) -> None:
        raise OperationalError("max number of clients reached")

    monkeypatch.setattr(Task, "apply_async", publish)
    assert send("next").id == "next"
    row = sending.producer().row("next")
    assert row and row.job.stage == Stage.SENT and row.due_at


def test_a_refused_request_stores_nothing(client: redis.Redis) -> None:
    with pytest.raises(InvalidRequestError):
        text_to_image.delay(prompt="")
    assert client.dbsize() == 0


def test_the_same_idempotency_key_is_the_same_job(client: redis.Redis) -> None:
    jobs = [text_to_image.delay(prompt="x", seed=1, idempotency_key="order 7") for _ in range(3)]
    assert len({job.id for job in jobs}) == 1
    assert messages(client) == [jobs[0].id]
    (key,) = client.scan_iter("kilnhand:once:*")
    assert client.ttl(key) >= 86_400


def test_many_threads_with_one_key_are_one_job(client: redis.Redis) -> None:
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda _: text_to_image.delay(prompt="x", idempotency_key="k"), range(64)))
    assert len({job.id for job in jobs}) == 1
    assert messages(client) == [jobs[0].id]


@pytest.mark.parametrize("other", [{"prompt": "y"}, {"prompt": "x", "seed": 2}, {"prompt": "x", "labels": {"a": "b"}}])
def test_the_same_key_for_another_request_is_refused(client: redis.Redis, other: dict[str, Any]) -> None:
    job = text_to_image.delay(prompt="x", idempotency_key="k")
    with pytest.raises(KeyReusedError, match=f"idempotency_key: was used for another request, by job {job.id}"):
        text_to_image.delay(**other, idempotency_key="k")
    assert messages(client) == [job.id]


def test_each_tenant_has_its_own_keys(client: redis.Redis) -> None:
    ids = {text_to_image.delay(prompt="x", idempotency_key="k", tenant=tenant).id for tenant in ("a", "b", None)}
    assert len(ids) == 3


async def test_a_plain_message_with_a_key_of_another_job_is_refused(client: redis.Redis, redis_url: str) -> None:
    job = text_to_image.delay(prompt="x", idempotency_key="k")
    row = sending.producer().row(job.id)
    assert row
    key = sending.idempotency_key_of(text_to_image.name, {"prompt": "x", "idempotency_key": "k"})
    ledger = open_redis_ledger(redis_url)
    new, _ = await ledger.accept(row.job.move(Stage.ACCEPTED), key)
    assert new
    assert await ledger.accept(row.job.move(Stage.ACCEPTED), key) == (False, (await ledger.get(job.id)))
    assert key
    other = replace(key, fingerprint="of another request")
    with pytest.raises(KeyReusedError, match=job.id):
        await ledger.accept(replace(row.job, id="another").move(Stage.ACCEPTED), other)
    await ledger.aclose()


def test_a_link_that_is_sent_twice_is_one_job_and_two_links_are_two(client: redis.Redis) -> None:
    result = ({"task": "generation.text_to_image", "images": [{"url": "https://example.com/a.png"}]},)
    sent = [
        image_to_video.apply_async(result, {"prompt": prompt}, parent_id="p", root_id="p").id
        for prompt in ("it moves", "it moves", "it stands still")
    ]
    assert sent[0] == sent[1] != sent[2]
    given = image_to_video.apply_async(result, {"prompt": "it moves"}, parent_id="p", task_id="given")
    assert given.id == "given"
    assert len(list(client.scan_iter("kilnhand:job:*"))) == 3


@pytest.mark.parametrize("as_text", [False, True])
def test_expiry_is_in_the_ledgers_time_even_if_the_callers_clock_is_wrong(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, as_text: bool
) -> None:
    an_hour_slow = time.time() - 3600
    expires = datetime.fromtimestamp(an_hour_slow + 60, UTC)
    with monkeypatch.context() as patch:
        patch.setattr("worker.edge.message.time.time", lambda: an_hour_slow)
        job = text_to_image.apply_async(kwargs={"prompt": "x"}, expires=expires.isoformat() if as_text else expires)
    row = sending.producer().row(job.id)
    assert row and 55 < row.job.message["expires_at"] - row.job.created_at < 65
    (message,) = client.lrange("generation", 0, -1)
    assert json.loads(message)["headers"]["expires"] is None, "no worker compares it with its clock"


def test_a_row_stores_all_fields_of_its_message(client: redis.Redis) -> None:
    chain = text_to_image.si(prompt="x") | image_to_video.s(prompt="it moves")
    last = chain.apply_async(priority=3, expires=60, headers={"trace": "t"})
    row = sending.producer().row(last.parent.id)
    assert row
    message = row.job.message
    assert message["chain"][0]["task"] == "video.image_to_video"
    assert message["chain"][0]["options"]["task_id"] == last.id
    assert (message["delivery_info"]["priority"], message["headers"]["trace"]) == (3, "t")
    assert 55 < message["expires_at"] - row.job.created_at < 65
