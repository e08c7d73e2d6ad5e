"""Beside other Celery applications in one Redis database: their unacknowledged messages, queues and bindings."""

import json
import time
from collections.abc import Iterator
from typing import Any

import kombu.transport.redis as transport
import pytest
import redis
from celery import Celery
from kombu import Connection

from tasks.generation import text_to_image
from tests.conftest import point_producer_at
from worker.edge import renewal
from worker.edge.app import app, celery_config
from worker.edge.channel import SafeChannel
from worker.edge.queues import own_queue, remove_old_bindings
from worker.edge.renewal import RenewingQoS

COMMON = {"visibility_timeout": 60, "unacked_restore_interval": 20, "unacked_restore_throttle": 1}


class Clock:
    """The time that kombu's transport and our renewal get. It moves only by `passes`."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(transport, "time", clock.time)
    monkeypatch.setattr(renewal, "time", clock)
    return clock


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def ours(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a connection with a worker's options, but a visibility timeout of a minute."""
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    monkeypatch.setattr(transport.Transport, "Channel", SafeChannel)
    monkeypatch.setattr(SafeChannel, "QoS", RenewingQoS)
    monkeypatch.setattr(RenewingQoS, "jobs", frozenset({"generation.text_to_image"}))
    monkeypatch.setattr(RenewingQoS, "common_every_s", 0.0)
    options = {**celery_config()["broker_transport_options"], **COMMON}
    return lambda: Connection(redis_url, transport_options=options)


def take(connection: Connection, queue: str) -> Any:
    """Take a message and do not acknowledge it; the channel that holds it."""
    channel = connection.channel()
    message = channel.basic_get(queue)
    assert message is not None
    return channel


def test_the_running_task_of_another_application_is_not_redelivered(
    redis_url: str, client: Any, ours: Any, clock: Clock
) -> None:
    shop = Celery("shop", broker=redis_url, set_as_current=False)
    shop.send_task("shop.long", queue="shop")
    with Connection(redis_url) as theirs, ours() as mine:
        take(theirs, "shop")
        clock.passes(61)
        mine.channel().qos.restore_visible(interval=1)
        assert client.llen("shop") == 0


def test_what_a_living_worker_holds_is_not_redelivered_and_what_a_dead_one_held_is(
    client: Any, ours: Any, clock: Clock
) -> None:
    text_to_image.delay(prompt="x")
    with ours() as living, ours() as other:
        holder, watcher = take(living, "generation"), other.channel()
        for _ in range(3):
            clock.passes(40)
            holder.qos.restore_visible(interval=1)
            watcher.qos.restore_visible(interval=1)
        assert client.llen("generation") == 0, "it is renewed while it is held"
        clock.passes(61)
        watcher.qos.restore_visible(interval=1)
        assert client.llen("generation") == 1, "it comes again when nobody renews it"
        assert client.zcard("kilnhand:unacked_index") == 0


def test_a_job_that_a_version_before_took_is_redelivered_and_no_task_of_others(
    redis_url: str, client: Any, ours: Any, clock: Clock
) -> None:
    text_to_image.delay(prompt="x")
    Celery("shop", broker=redis_url, set_as_current=False).send_task("shop.long", queue="shop")
    with Connection(redis_url, transport_options=COMMON) as before, ours() as mine:
        before_took = [take(before, queue) for queue in ("generation", "shop")]
        assert len(before_took) == client.zcard("unacked_index") == 2
        client.hset("unacked", "odd", "not JSON")
        client.zadd("unacked_index", {"odd": 1})
        clock.passes(61)
        mine.channel().qos.restore_visible(interval=1)
        (again,) = client.lrange("generation", 0, -1)
        assert json.loads(again)["headers"]["task"] == "generation.text_to_image"
        assert client.llen("shop") == 0
        assert client.zcard("unacked_index") == 2, "theirs, and what cannot be read, stay"


def test_a_message_to_the_exchange_celery_goes_to_none_of_our_queues(client: Any, ours: Any) -> None:
    with ours() as connection:
        channel = connection.channel()
        for name in ("generation", "training"):  # as the versions before bound them
            channel.queue_declare(name)
            channel.exchange_declare("celery", "direct")
            channel.queue_bind(name, "celery", "celery")
        for name in ("generation", "training"):
            own_queue(name)(channel).declare()
        remove_old_bindings(channel, ["generation", "training", "celery"])
        assert channel.get_table("celery") == []
        own_queue("generation")(channel).declare()
        app.send_task("x", exchange="generation", routing_key="generation")
    assert (client.llen("generation"), client.llen("training")) == (1, 0)
