"""Whether a message still waits in its queue: in order of sending, past messages of others, and when a worker has it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from tasks.generation import text_to_image
from tests.conftest import point_producer_at
from worker.edge.message import endings_queue, send_again, send_closing
from worker.edge.queued import QueuedMessages
from worker.edge.queues import SideQueuesFirst
from worker.edge.sending import producer
from worker.jobs.job import Job, Stage
from worker.ledger.base import SHARE


@pytest.fixture
async def queued(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QueuedMessages]:
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    queued = QueuedMessages(redis_url)
    yield queued
    await queued.aclose()


@pytest.fixture
def client(redis_url: str) -> Any:
    return redis.Redis.from_url(redis_url, decode_responses=True)


def send(**options: Any) -> Job:
    row = producer().row(text_to_image.apply_async(kwargs={"prompt": "x"}, **options).id)
    assert row
    return row.job


async def test_a_message_waits_until_it_is_taken(queued: QueuedMessages, client: Any) -> None:
    jobs = [send() for _ in range(3)]
    assert [await queued.has(job) for job in jobs] == [True, True, True]
    client.rpop("generation")
    assert [await queued.has(job) for job in jobs] == [False, True, True]
    client.delete("generation")
    assert [await queued.has(job) for job in jobs] == [False, False, False]


async def test_messages_of_others_in_front_are_looked_past(queued: QueuedMessages, client: Any) -> None:
    lost, job = send(), send()
    client.rpop("generation")
    for _ in range(3):
        client.rpush("generation", json.dumps({"headers": {"id": "theirs"}, "body": ""}))
    assert [await queued.has(each) for each in (lost, job)] == [False, True]
    client.delete("generation")
    client.rpush("generation", "not JSON")
    assert await queued.has(job), "it may wait behind messages of others"


async def test_a_message_that_a_worker_has_just_taken_is_not_sent_again(queued: QueuedMessages, client: Any) -> None:
    job = send()
    raw, (seconds, _) = client.rpop("generation"), client.time()
    client.hset("unacked", "tag", json.dumps([json.loads(raw), "", "generation"]))
    client.zadd("unacked_index", {"tag": seconds})
    assert await queued.has(job)
    client.zadd("unacked_index", {"tag": seconds - 9})
    assert not await queued.has(job), "its worker has died"
    client.hset("unacked", "tag", json.dumps([{"headers": {"id": "theirs"}}, "", "generation"]))
    assert not await queued.has(job)


async def test_a_message_with_a_priority_waits_in_a_list_of_its_own(queued: QueuedMessages, client: Any) -> None:
    job = send(priority=7)
    assert await queued.has(job)
    client.delete("generation\x06\x166")
    assert not await queued.has(job)


async def test_a_message_that_was_sent_again_counts_from_then(queued: QueuedMessages, client: Any) -> None:
    job = send()
    client.delete("generation")
    later = send()
    assert not await queued.has(job)
    again = replace(job, resent_at=(later.sent_at or 0) + 1)
    send_again(text_to_image, again)
    assert await queued.has(again)


async def test_closing_messages_have_a_queue_of_their_own(queued: QueuedMessages, client: Any) -> None:
    job = send().move(Stage.CLOSING, ending=Stage.CANCELLED, closed_at=producer().now())
    assert not await queued.has(job)
    send_closing(text_to_image, job)
    assert await queued.has(job)
    assert client.llen(endings_queue("generation")) == 1


@pytest.mark.parametrize(
    ("priority", "name"), [("high", "generation.high"), ("normal", "generation"), ("low", "generation\x06\x169")]
)
async def test_a_jobs_priority_decides_its_list_also_when_it_is_sent_again(
    queued: QueuedMessages, client: Any, priority: str, name: str
) -> None:
    sent = text_to_image.delay(prompt="x", priority=priority)
    row = producer().row(sent.id)
    assert row and client.llen(name) == 1 and await queued.has(row.job)
    assert row.job.queue == "generation"
    client.delete(name)
    assert not await queued.has(row.job)
    send_again(text_to_image, row.job)
    assert client.llen(name) == 1 and await queued.has(row.job)


def test_a_callers_own_route_wins_over_the_priority(queued: QueuedMessages, client: Any) -> None:
    text_to_image.apply_async(kwargs={"prompt": "x", "priority": "low"}, priority=3)
    text_to_image.apply_async(kwargs={"prompt": "x", "priority": "high"}, queue="celery")
    assert [client.llen(name) for name in ("generation\x06\x163", "celery")] == [1, 1]


def test_a_worker_asks_for_endings_first_then_for_high_jobs_then_in_turn() -> None:
    cycle = SideQueuesFirst()
    cycle.update(["a", "a.endings", "a.high", "b", "b.endings", "b.high"])
    cycle.rotate("a")
    assert cycle.consume(6) == ["a.endings", "b.endings", "a.high", "b.high", "b", "a"]


@pytest.mark.parametrize("priority", ["normal", "high"])
async def test_what_a_tenant_sends_beyond_its_share_waits_behind_other_tenants(
    queued: QueuedMessages, client: Any, priority: str
) -> None:
    queue = "generation.high" if priority == "high" else "generation"

    def lengths() -> tuple[int, int]:
        return client.llen(queue), client.llen(f"{queue}\x06\x169")

    def send_as(tenant: str | None) -> Job:
        given = {"prompt": "x", "tenant": tenant, "priority": priority}
        row = producer().row(text_to_image.apply_async(kwargs=given).id)
        assert row
        return row.job

    jobs = [send_as("noisy") for _ in range(SHARE + 10)]
    first, last = lengths()
    assert (first + last, first >= SHARE, last > 0) == (len(jobs), True, True)
    assert await queued.has(jobs[-1]), "it is not sent again while it waits there"
    send_as("good")
    send_as(None)
    assert lengths() == (first + 2, last)
