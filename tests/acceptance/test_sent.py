"""What a caller may rely on once `delay()` has returned: a lost message is sent again, a key is one job."""

import base64
import gc
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from PIL import Image

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from tests.integration.edge.hostile_messages import OUR_TASK, dumped, message
from worker import client
from worker.cli.processes.stack import Stack, run_stack
from worker.edge.sending import producer
from worker.errors import KeyReusedError


def test_an_idempotency_key_is_one_job_and_one_submission(twin: Twin) -> None:
    twin.pace(seconds=0.5)
    first = text_to_image.delay(prompt="x", idempotency_key="order 7")
    second = text_to_image.delay(prompt="x", idempotency_key="order 7")
    assert second.id == first.id
    result = first.get(timeout=120)
    after = text_to_image.delay(prompt="x", idempotency_key="order 7")
    assert (after.id, after.get(timeout=120)) == (first.id, result)
    with pytest.raises(KeyReusedError, match=first.id):
        text_to_image.delay(prompt="y", idempotency_key="order 7")
    assert twin.count == 1


def test_endings_and_high_jobs_do_not_wait_behind_a_long_queue(stack: Stack, twin: Twin) -> None:
    """The queue does not grow either: a message that waits is not sent again."""
    twin.pace(seconds=1)
    before = text_to_image.delay(prompt="x")
    wait_until(lambda: twin.count == 1, "it runs")
    flood = message(OUR_TASK, [[], {"prompt": 5}, {}])  # refused: the cheapest message
    flood["properties"]["delivery_info"]["routing_key"] = "generation"
    with redis.Redis.from_url(stack.redis_url) as broker:
        try:
            for _ in range(30):
                broker.lpush("generation", *[dumped(flood)] * 500)
            last = text_to_image.delay(prompt="x")
            high = text_to_image.delay(prompt="x", priority="high")
            assert [each.get(timeout=120)["job_id"] for each in (before, high)] == [before.id, high.id]
            seen = client.status(last.id)
            assert seen and seen.stage == "sent" and broker.llen("generation") > 1000
            own = [raw for raw in broker.lrange("generation", 0, -1) if last.id.encode() in raw]
            assert len(own) == 1
        finally:
            broker.delete("generation")
            client.cancel(last.id)


def test_a_large_request_is_kept_once(stack: Stack, twin: Twin) -> None:
    """A picture inside a request was in the row three times, and in the result once more."""
    twin.pace(seconds=0.2)
    picture = io.BytesIO()
    Image.frombytes("RGB", (210, 210), os.urandom(210 * 210 * 3)).save(picture, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    sent = image_to_video.delay(prompt="x", image=uri, tenant="acme")
    assert sent.get(timeout=120)["video"]
    with redis.Redis.from_url(stack.redis_url) as keys:
        wait_until(lambda: keys.hget(f"kilnhand:job:{sent.id}", "stage") == b"completed", "it is confirmed")
        sizes = [keys.memory_usage(key, samples=0) for key in keys.scan_iter("*") if sent.id.encode() in key]
    assert 170_000 < len(uri) < sum(sizes) < len(uri) + 20_000
    assert sent.kwargs == {"prompt": "x", "image": f"{uri[:100]}… ({len(uri)} characters)", "tenant": "acme"}


@pytest.fixture
def idle(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack whose worker has not come yet."""
    with run_stack(tmp_path, processes=("redis", "twin")) as stack:
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def test_a_message_that_the_broker_loses_is_sent_again(idle: Stack) -> None:
    sent = text_to_image.delay(prompt="x")
    with redis.Redis.from_url(idle.redis_url) as broker:
        assert broker.delete("generation") == 1
    alone = producer().row(sent.id)
    assert alone and alone.job.stage == "sent", "the row alone knows of it"
    assert alone.due_at and alone.due_at - producer().now() < 15
    idle.start_worker("worker")
    assert sent.get(timeout=120)["images"]
    assert Twin(idle.twin_url).count == 1
    row = producer().row(sent.id)
    assert row and [note.what for note in row.job.history][:3] == ["sent", "message_sent_again", "accepted"]


def test_a_message_that_is_delivered_twice_is_one_job(idle: Stack) -> None:
    sent = text_to_image.delay(prompt="x")
    with redis.Redis.from_url(idle.redis_url) as broker:
        (message,) = broker.lrange("generation", 0, -1)
        broker.rpush("generation", message, message)
    idle.start_worker("worker")
    assert sent.get(timeout=120)["images"]
    assert text_to_image.delay(prompt="after").get(timeout=120)["images"]
    assert Twin(idle.twin_url).count == 2
