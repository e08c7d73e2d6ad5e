"""Chains, links, groups and chords over our tasks work as in any Celery application; so does being revoked."""

import sys
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.result import AsyncResult

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.conftest import HTTP, Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Child, Stack
from worker.errors import ContentRefusedError, InvalidRequestError, KilnhandError

MOVES = {"prompt": "z", "image": "https://example.com/x.png"}
BLACK = {"endpoint": "*", "call": "result", "what": "black"}


@pytest.fixture(scope="module")
def _backend(_stack: Stack) -> Child:
    """The backend's worker, on its own queue."""
    celery = [sys.executable, "-m", "celery", "-A", "tests.acceptance.backend_app"]
    command = [*celery, "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "info"]
    child = _stack.add("backend", command, lambda since: "ready." in (_stack.folder / "logs/backend.log").read_text())
    child.wait_ready()
    return child


@pytest.fixture
def backend(_backend: Child, bare: Celery) -> Celery:
    """The backend's tasks by name, as any client of it sees them."""
    bare.conf.task_default_queue = "backend"
    return bare


def urls(backend: Celery) -> Any:
    return backend.signature("backend.urls", queue="backend")


def ended(job_id: str) -> str | None:
    """The state in which a job has ended, from its row."""
    found = client.status(job_id)
    return found.state if found and found.stage in {"completed", "failed", "cancelled"} else None


def wanted(**fields: Any) -> Any:
    return text_to_image.si(**{"prompt": "x", "image_size": "square", **fields})


def test_a_chain_hands_the_picture_to_the_video(twin: Twin) -> None:
    twin.pace(seconds=0.3)
    video = image_to_video.s(prompt="it moves", duration_s=4)
    sent = chain(text_to_image.s(prompt="a kiln", image_size="landscape_16_9"), video).apply_async()
    result = sent.get(timeout=120)
    assert sent.parent.state == "SUCCESS"
    assert result["video"]["content_type"] == "video/mp4"
    told = twin.requests("fal-ai/veo3.1/fast/image-to-video")[0]["input"]["image_url"]
    assert told.startswith(f"{twin.url}/cdn/"), (
        "our gateway is not public, so the picture was put where fal can fetch it"
    )
    assert HTTP.get(told).content == HTTP.get(sent.parent.result["images"][0]["url"]).content


def test_a_link_runs_once_with_the_result(twin: Twin, backend: Celery) -> None:
    twin.pace(seconds=0.2)
    sent = text_to_image.apply_async(kwargs={"prompt": "x"}, link=urls(backend))
    result = sent.get(timeout=120)
    (linked,) = wait_until(lambda: sent.children, "the link was sent")
    assert AsyncResult(linked.id, app=backend).get(timeout=120) == [result["images"][0]["url"]]


def test_a_group_gathers_every_result(twin: Twin) -> None:
    twin.pace(seconds=0.2)
    sent = group(wanted(seed=n) for n in range(4)).apply_async()
    assert [result["seed"] for result in sent.get(timeout=120)] == [0, 1, 2, 3]
    assert twin.count == 4


def test_a_chords_body_gets_every_result(twin: Twin, backend: Celery) -> None:
    twin.pace(seconds=0.2)
    made = chord([wanted(seed=n) for n in range(3)])(urls(backend)).get(timeout=120)
    assert len(set(made)) == 3
    assert all(HTTP.get(url).status_code == 200 for url in made)


def test_a_group_then_a_task_as_one_chain(twin: Twin, backend: Celery) -> None:
    twin.pace(seconds=0.2)
    sent = chain(group(wanted(seed=1), wanted(seed=2)), urls(backend)).apply_async()
    assert len(sent.get(timeout=120)) == 2


def test_a_failure_reaches_get_as_itself_and_the_errback(twin: Twin, backend: Celery) -> None:
    twin.script(**BLACK, times=1)
    errback = backend.signature("backend.note_failure", queue="backend")
    sent = text_to_image.apply_async(kwargs={"prompt": "x"}, link_error=errback)
    with pytest.raises(ContentRefusedError, match="has_nsfw_concepts"):
        sent.get(timeout=120)
    assert sent.state == "FAILURE"
    (noted,) = wait_until(lambda: backend.backend.client.lrange("noted", 0, -1), "the errback ran")
    assert noted.decode() == sent.id


def test_a_failure_ends_the_rest_of_a_chain_without_submitting_it(twin: Twin) -> None:
    twin.script(**BLACK, times=1)
    sent = chain(text_to_image.s(prompt="x"), image_to_video.s(prompt="y")).apply_async()
    with pytest.raises(KilnhandError):
        sent.get(timeout=120)
    assert sent.parent.state == sent.state == "FAILURE"
    assert twin.count == 1


def test_a_chain_whose_second_task_cannot_take_the_first_ones_result_says_so_there(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    sent = chain(text_to_image.s(prompt="x"), text_to_image.s(prompt="y")).apply_async()
    with pytest.raises(InvalidRequestError, match=r"use .si\(…\)"):
        sent.get(timeout=120)
    assert sent.parent.state == "SUCCESS"
    assert twin.count == 1


def test_revoking_a_waiting_job_ends_it_and_cancels_it_at_the_provider(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = text_to_image.delay(prompt="x")
    wait_until(lambda: twin.count, "it was submitted")
    sent.revoke()
    wait_until(lambda: sent.state == "REVOKED", "it is revoked")
    (request,) = twin.requests()
    assert request["state"] in {"CANCELLED", "COMPLETED"}, request


def test_revoking_the_first_of_a_chain_ends_the_rest(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = chain(text_to_image.s(prompt="x"), image_to_video.s(prompt="y")).apply_async()
    wait_until(lambda: twin.count, "it was submitted")
    sent.parent.revoke()
    wait_until(lambda: sent.parent.state == "REVOKED", "the first is revoked")
    wait_until(lambda: sent.state in {"REVOKED", "FAILURE"}, "the rest has ended")
    assert twin.count == 1


def test_revoking_one_of_a_chord_fails_its_body(twin: Twin, backend: Celery) -> None:
    twin.pace(seconds=60)
    sent = chord([wanted(seed=1), wanted(seed=2)])(urls(backend))
    wait_until(lambda: twin.count == 2, "both were submitted")
    for part in sent.parent.results:
        part.revoke()
    wait_until(lambda: {part.state for part in sent.parent.results} == {"REVOKED"}, "both are revoked")
    wait_until(lambda: sent.state == "FAILURE", "the body has failed")


def test_a_job_that_ended_stays_as_it_ended(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    sent = text_to_image.delay(prompt="x")
    result = sent.get(timeout=120)
    sent.revoke()
    assert text_to_image.delay(prompt="y").get(timeout=120)  # the revoke was heard before this was done
    assert (sent.state, sent.result) == ("SUCCESS", result)


def test_revoking_the_next_of_a_chain_while_the_first_runs_ends_it_before_it_is_submitted(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = chain(text_to_image.s(prompt="x"), image_to_video.s(prompt="y"), image_to_video.si(**MOVES)).apply_async()
    first, second = sent.parent.parent, sent.parent
    wait_until(lambda: twin.count, "the first was submitted")
    second.revoke()
    wait_until(lambda: client.cancel(second.id).stage == "cancel_noted", "the cancel is noted")
    twin.finish()
    assert first.get(timeout=120)
    wait_until(lambda: ended(second.id) == "REVOKED", "the next has ended")  # Celery says REVOKED from the revoke on
    wait_until(lambda: sent.state == "REVOKED", "the rest of the chain has ended with it")
    assert twin.count == 1


def test_revoking_a_chords_body_while_its_parts_run_ends_it_before_it_is_submitted(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = chord([wanted(seed=1), wanted(seed=2)])(wanted(seed=3))
    wait_until(lambda: twin.count == 2, "the parts were submitted")
    sent.revoke()
    wait_until(lambda: client.cancel(sent.id).stage == "cancel_noted", "the cancel is noted")
    twin.finish()
    wait_until(lambda: {part.state for part in sent.parent.results} == {"SUCCESS"}, "the parts have ended")
    wait_until(lambda: ended(sent.id) == "REVOKED", "the body has ended")  # Celery says REVOKED from the revoke on
    assert twin.count == 2


def test_a_bare_message_that_was_cancelled_before_a_worker_took_it_is_never_submitted(twin: Twin, bare: Celery) -> None:
    name = str(uuid4())
    assert client.cancel(name).state == "PENDING"
    sent = bare.send_task("generation.text_to_image", kwargs={"prompt": "x"}, queue="generation", task_id=name)
    wait_until(lambda: sent.state == "REVOKED", "it is revoked")
    assert client.status(name).receipt.in_time  # type: ignore[union-attr]
    assert twin.count == 0
