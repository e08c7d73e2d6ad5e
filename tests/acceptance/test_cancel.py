"""A cancel, whoever asks for it and whenever: how the job ends, what its receipt says, and what the provider billed."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import chain
from celery.result import AsyncResult

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.conftest import HTTP, Twin, point_producer_at
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack, run_stack
from worker.explain.history import receipt_text
from worker.jobs.status import JobStatus

Cancel = Callable[[AsyncResult], Any]


def by_function(sent: AsyncResult) -> None:
    assert client.cancel(sent.id) is not None


def by_revoke(sent: AsyncResult) -> None:
    sent.revoke()


both = pytest.mark.parametrize("cancel", [by_function, by_revoke])


def ended(sent: AsyncResult) -> JobStatus:
    """The status of a job that has ended, with the same ending in the result backend."""
    states = {"SUCCESS", "FAILURE", "REVOKED"}
    wait_until(lambda: sent.state in states, f"{sent.id} has ended")
    seen = wait_until(lambda: (s := client.status(sent.id)) and s.state in states and s, "its row has ended")
    assert isinstance(seen, JobStatus)
    assert seen.state == sent.state
    return seen


def billed(twin: Twin) -> float:
    """What the twin has billed for its only request, in USD."""
    (request,) = twin.requests()
    return float(request["billed"]["usd"])


def paid(seen: JobStatus) -> float:
    """What the receipt says was billed, in USD."""
    assert seen.receipt
    return seen.receipt.cost.usd or 0.0 if seen.receipt.cost else 0.0


def is_stage(sent: AsyncResult, stage: str, state: str) -> bool:
    seen = client.status(sent.id)
    return seen is not None and (seen.stage, seen.state) == (stage, state)


def runs(sent: AsyncResult, twin: Twin) -> None:
    """Wait until it runs at the provider, and its row has the ticket."""
    at_provider = lambda: twin.count and twin.requests()[0]["state"] == "IN_PROGRESS"  # noqa: E731
    wait_until(lambda: at_provider() and client.status(sent.id).stage == "waiting", "it runs")  # type: ignore[union-attr]


@both
def test_a_job_in_the_providers_queue_is_stopped_in_time(cancel: Cancel, twin: Twin) -> None:
    twin.pace(seconds=60, queue_seconds=60)
    sent = text_to_image.delay(prompt="x")
    wait_until(lambda: is_stage(sent, "waiting", "QUEUED"), "it waits at the provider")
    cancel(sent)
    seen = ended(sent)
    assert (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", True)
    assert paid(seen) == billed(twin) == 0
    assert twin.requests()[0]["is_cancelled"]


@both
def test_a_job_that_runs_is_stopped_in_time(cancel: Cancel, twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = text_to_image.delay(prompt="x")
    runs(sent, twin)
    cancel(sent)
    seen = ended(sent)
    assert (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", True)
    assert paid(seen) == billed(twin) == 0
    assert "stopped in time; up to 0.0030 USD may have been billed" in str(sent.result), "fal does not say"


@both
def test_a_cancel_that_comes_too_late_keeps_the_file_and_says_what_it_cost(cancel: Cancel, twin: Twin) -> None:
    twin.pace(seconds=0)
    twin.script(endpoint="*", call="webhook", what="lost")
    sent = text_to_image.delay(prompt="x", num_images=2, model="nano-banana-pro")  # not looked at for two seconds
    wait_until(lambda: twin.count and twin.requests()[0]["state"] == "COMPLETED", "it has ended at the provider")
    cancel(sent)
    seen = ended(sent)
    assert (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", False)
    assert paid(seen) == billed(twin) > 0
    result = client.result(sent.id)
    assert result and [HTTP.get(file["url"]).status_code for file in result["images"]] == [200, 200]
    assert receipt_text(seen.receipt) in str(sent.result)  # type: ignore[arg-type]


@both
def test_a_cancel_that_the_provider_ignores_ends_as_cancelled_with_its_file(cancel: Cancel, twin: Twin) -> None:
    twin.pace(seconds=600)
    twin.script(endpoint="*", call="cancel", what="ignored")
    sent = text_to_image.delay(prompt="x")
    runs(sent, twin)
    cancel(sent)
    wait_until(lambda: twin.requests()[0]["cancels"], "the provider was asked to stop")
    twin.finish()
    seen = ended(sent)
    assert (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", False)
    assert paid(seen) == billed(twin) > 0
    result = client.result(sent.id)
    assert result and HTTP.get(result["images"][0]["url"]).status_code == 200


def test_waiting_for_a_cancel_gives_the_receipt(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = text_to_image.delay(prompt="x")
    runs(sent, twin)
    seen = client.cancel(sent.id, wait_s=20)
    assert seen and (seen.state, seen.stage, seen.receipt and seen.receipt.in_time) == ("REVOKED", "cancelled", True)
    assert sent.state == "REVOKED"
    again = client.cancel(sent.id, wait_s=20)
    assert again and (again.state, again.receipt) == ("REVOKED", seen.receipt)
    assert twin.requests()[0]["cancels"] == 1


def test_a_job_that_ended_stays_as_it_ended(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    sent = text_to_image.delay(prompt="x")
    result = sent.get(timeout=120)
    seen = client.cancel(sent.id, wait_s=20)
    assert seen and (seen.state, seen.receipt, seen.error) == ("SUCCESS", None, None)
    assert (sent.state, sent.result, client.result(sent.id)) == ("SUCCESS", result, result)


def test_a_submission_that_is_out_when_the_cancel_comes_is_stopped_once_it_is_taken(twin: Twin) -> None:
    twin.pace(seconds=60)
    twin.script(endpoint="*", call="submit", what="slow", seconds=2, accepted=True)
    sent = text_to_image.delay(prompt="x")
    wait_until(lambda: twin.count == 1 and is_stage(sent, "submitting", "QUEUED"), "the POST is out")
    seen = client.cancel(sent.id, wait_s=20)
    assert seen and (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", True)
    assert twin.requests()[0]["is_cancelled"]


def test_a_lost_submission_that_is_cancelled_is_looked_for_and_its_piece_kept(twin: Twin) -> None:
    twin.pace(seconds=1)
    twin.script(endpoint="*", call="submit", what="drop", accepted=True)
    sent = text_to_image.delay(prompt="x")
    wait_until(lambda: is_stage(sent, "unknown", "QUEUED"), "nobody knows whether it was taken")
    client.cancel(sent.id)
    seen = ended(sent)
    assert (seen.state, seen.receipt and seen.receipt.in_time) == ("REVOKED", False)
    assert twin.count == 1 and paid(seen) == billed(twin) > 0


def test_cancelling_the_first_of_a_chain_fails_the_rest_without_submitting_it(twin: Twin) -> None:
    twin.pace(seconds=60)
    sent = chain(text_to_image.s(prompt="x"), image_to_video.s(prompt="y")).apply_async()
    wait_until(lambda: twin.count, "the first was submitted")
    seen = client.cancel(sent.parent.id, wait_s=20)
    assert seen and seen.state == "REVOKED"
    wait_until(lambda: sent.state in {"REVOKED", "FAILURE"}, "the rest has ended")
    assert twin.count == 1


@pytest.fixture
def idle(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack without a worker."""
    with run_stack(tmp_path, processes=("redis", "twin")) as stack:
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.mark.parametrize("is_message_lost", [False, True])
def test_a_job_that_no_worker_has_accepted_is_never_submitted(idle: Stack, is_message_lost: bool) -> None:
    sent = text_to_image.delay(prompt="x")
    seen = client.cancel(sent.id, wait_s=0.2)
    assert seen and (seen.state, seen.stage) == ("QUEUED", "sent")
    if is_message_lost:
        with redis.Redis.from_url(idle.redis_url) as broker:
            assert broker.delete("generation") == 1
    idle.start_worker("worker")
    last = ended(sent)
    assert (last.state, last.receipt and last.receipt.in_time) == ("REVOKED", True)
    assert text_to_image.delay(prompt="after").get(timeout=120)["images"]
    assert Twin(idle.twin_url).count == 1, "only the one after it"
