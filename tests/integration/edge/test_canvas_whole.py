"""A canvas is sent whole or not at all: every part is judged before the first is sent."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Task, chain, chord, group
from kombu.exceptions import OperationalError

from tasks.generation import text_to_image
from tasks.language import caption
from tasks.training import lora
from tasks.video import image_to_video
from tests.conftest import point_producer_at
from worker.edge import sending
from worker.errors import InvalidRequestError, KeyReusedError

GOOD = {"prompt": "x"}
BAD = {"prompt": "x", "num_images": 9000}
IMAGE = "https://example.com/x.png"


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def good() -> Any:
    return text_to_image.si(**GOOD)


def bad() -> Any:
    return text_to_image.si(**BAD)


REFUSED = {
    "the last of a group": lambda: group(good(), good(), bad()).apply_async(),
    "the last of a group, called": lambda: group(good(), bad())(),
    "a field given to the whole group": lambda: group(good(), text_to_image.s()).apply_async(kwargs={"seed": "no"}),
    "a part of a chord": lambda: chord([good(), bad()])(good()),
    "a chord's body": lambda: chord([good(), good()])(bad()),
    "a chord's body that takes the results": lambda: chord([good(), good()], text_to_image.s(**GOOD)).apply_async(),
    "the next of a chain": lambda: chain(good(), bad()).apply_async(),
    "the next of a chain by pipe": lambda: (good() | bad() | good())(),
    "what is known of the next of a chain": lambda: chain(good(), image_to_video.s(prompt="")).apply_async(),
    "an unknown field of the next": lambda: chain(good(), image_to_video.s(prompt="x", imgae="y")).apply_async(),
    "an option of the next": lambda: chain(good(), image_to_video.s(prompt="x", deadline_s=-1)).apply_async(),
    "a group after a task": lambda: (good() | group(image_to_video.s(prompt="x"), bad())).apply_async(),
    "a task after a group": lambda: (group(good(), good()) | image_to_video.s(prompt="x")).apply_async(),
    "a group in a group": lambda: group(good(), group(good(), chain(good(), bad()))).apply_async(),
    "a link": lambda: text_to_image.apply_async(kwargs=GOOD, link=image_to_video.s(prompt="")),
    "one of several links": lambda: text_to_image.apply_async(kwargs=GOOD, link=[good(), bad()]),
}


@pytest.mark.parametrize("send", REFUSED.values(), ids=REFUSED)
def test_a_part_that_is_refused_is_refused_before_anything_is_sent(client: redis.Redis, send: Any) -> None:
    with pytest.raises(InvalidRequestError):
        send()
    assert client.keys() == []


SENT = {
    "a chain that hands on its picture": lambda: chain(good(), image_to_video.s(prompt="x")).apply_async(),
    "a chain into every picture's caption": lambda: chain(good(), caption.s()).apply_async(),
    "a chain whose fields fit together once the weights have come": lambda: chain(
        lora.s(images_data_url="https://example.com/x.zip", trigger_word="X"), text_to_image.s(**GOOD, lora_scale=0.8)
    ).apply_async(),
    "a group into a foreign body": lambda: chord([good(), good()])(text_to_image.app.signature("their.task")),
    "a group then a task that takes nothing": lambda: (group(good(), good()) | good()).apply_async(),
    "a foreign chain": lambda: chain(text_to_image.app.signature("their.task"), good()).apply_async(),
    "a group with a field for all": lambda: group(text_to_image.s(), text_to_image.s()).apply_async(kwargs=GOOD),
}


@pytest.mark.parametrize("send", SENT.values(), ids=SENT)
def test_what_can_be_accepted_is_sent(client: redis.Redis, send: Any) -> None:
    send()
    assert client.keys("generation") or client.keys("celery") or client.keys("training")


def cancelled(client: redis.Redis) -> list[bool]:
    return [client.hexists(key, "signal:cancel") for key in client.scan_iter("kilnhand:job:*")]


def test_what_was_sent_is_cancelled_when_the_next_part_cannot_be_sent(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Task.apply_async, []

    def publish(self: Task, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise OperationalError("the broker is away")
        return real(self, *args, **options)

    monkeypatch.setattr(Task, "apply_async", publish)
    with pytest.raises(OperationalError):
        group(good(), good(), good(), good()).apply_async()
    assert cancelled(client) == [True, True]


def test_a_key_of_another_job_in_a_later_part_cancels_those_before(client: redis.Redis) -> None:
    first = text_to_image.delay(prompt="y", idempotency_key="k")
    with pytest.raises(KeyReusedError):
        group(good(), text_to_image.si(prompt="y", idempotency_key="k")).apply_async()
    rows = {key: client.hexists(key, "signal:cancel") for key in client.scan_iter("kilnhand:job:*")}
    assert rows.pop(f"kilnhand:job:{first.id}") is False
    assert list(rows.values()) == [True]


def test_a_job_that_is_sent_alone_is_not_collected(client: redis.Redis) -> None:
    text_to_image.delay(**GOOD)
    with sending.collect_sent() as sent:
        assert sent == []
