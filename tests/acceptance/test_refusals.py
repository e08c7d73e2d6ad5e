"""What cannot be sent is refused where it arrives, too: for a backend that has only Celery, and for wires gone mad."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin
from tests.conftest import wait_until
from tests.unit.jobs.test_request import WRONG
from worker.errors import InvalidRequestError, KilnhandError

SENDABLE = [(task.name, given, said) for task, given, said in WRONG if "cannot be written as JSON" not in said]


def test_every_wrong_input_by_a_bare_send_task_fails_with_its_lines_and_nothing_is_submitted(
    bare: Celery, twin: Twin
) -> None:
    sent = [(bare.send_task(name, kwargs=given), name, said) for name, given, said in SENDABLE]
    for result, name, said in sent:
        with pytest.raises(InvalidRequestError) as refused:
            result.get(timeout=120)
        assert result.state == "FAILURE"
        first, *lines = str(refused.value).splitlines()
        assert first == f"{name}: the request was refused"
        assert any(said in line for line in lines), lines
    assert twin.count == 0


FAULTS: list[tuple[dict[str, Any], str, int]] = [
    ({"call": "result", "what": "black"}, "content_refused", 1),
    ({"call": "file", "what": "wrong_type", "times": -1}, "broken_piece", 1),
    ({"call": "submit", "what": "http", "status": 403, "body": {"detail": "User is locked. Reason: TOP_UP."}}, "account_locked", 0),
    ({"call": "submit", "what": "http", "status": 401, "body": {"detail": "no"}}, "authentication", 0),
    ({"call": "result", "what": "error", "status": 422, "body": {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]}}, "content_refused", 1),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "code", "submissions"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_ends_the_job_with_its_own_error_and_is_paid_for_at_most_once(
    bare: Celery, twin: Twin, fault: dict[str, Any], code: str, submissions: int
) -> None:
    twin.pace(seconds=0.2)
    twin.script(endpoint="*", **{"times": 1, **fault})
    result = bare.send_task("generation.text_to_image", kwargs={"prompt": "x"})
    with pytest.raises(KilnhandError) as failed:
        result.get(timeout=120)
    assert failed.value.code == code
    assert twin.count == submissions


STRANGE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("generation.text_to_image", {"prompt": 5}, {}),  # refused
    ("shop.unknown", {}, {}),  # nobody knows it
    ("generation.text_to_image", {"prompt": "y"}, {"expires": datetime(2020, 1, 1, tzinfo=UTC)}),
    ("training.lora", {}, {"queue": "generation"}),
]


@pytest.mark.parametrize("sending", ["delay", "bare"])
def test_other_messages_under_a_running_jobs_id_change_nothing(bare: Celery, twin: Twin, sending: str) -> None:
    twin.pace(seconds=60)
    task = "generation.text_to_image"
    sent = text_to_image.delay(prompt="x") if sending == "delay" else bare.send_task(task, kwargs={"prompt": "x"})
    wait_until(lambda: twin.count == 1, "it runs")
    for name, given, options in STRANGE:
        bare.send_task(name, kwargs=given, task_id=sent.id, **({"queue": "generation"} | options))
    with redis.Redis.from_url(bare.conf.broker_url) as client:
        wait_until(lambda: client.llen("generation") == 0, "the others were taken")
    time.sleep(0.3)
    assert bare.AsyncResult(sent.id).state in {"QUEUED", "IN_PROGRESS"}
    twin.finish()
    assert len(bare.AsyncResult(sent.id).get(timeout=120)["images"]) == 1
    assert twin.count == 1


@pytest.mark.parametrize("what", ["drop", "truncated", "garbage", "nginx"])
def test_a_submission_whose_answer_is_lost_is_found_again_and_paid_for_once(
    bare: Celery, twin: Twin, what: str
) -> None:
    twin.pace(seconds=0.2)
    twin.script(endpoint="*", call="submit", what=what, times=1)
    result = bare.send_task("generation.text_to_image", kwargs={"prompt": "x"}).get(timeout=120)
    assert (len(result["images"]), result["possible_duplicate"]) == (1, False)
    assert twin.count == 1


def test_what_was_refused_for_now_is_tried_again(bare: Celery, twin: Twin) -> None:
    twin.pace(seconds=0.2)
    twin.script(endpoint="*", call="submit", what="http", status=429, times=1, headers={"Retry-After": "1"}, body={})
    result = bare.send_task("generation.text_to_image", kwargs={"prompt": "x"}).get(timeout=120)
    assert result["attempts"] == 2
    assert twin.count == 1


@pytest.mark.parametrize("call", ["status", "result", "file"])
def test_answers_that_get_lost_on_the_way_back_cost_nothing_but_time(bare: Celery, twin: Twin, call: str) -> None:
    twin.pace(seconds=0.2)
    twin.script(endpoint="*", call=call, what="nginx", status=502, times=2)
    twin.script(endpoint="*", call=call, what="truncated", times=1)
    assert bare.send_task("generation.text_to_image", kwargs={"prompt": "x"}).get(timeout=120)["images"]
    assert twin.count == 1


def test_a_deadline_ends_a_job_that_is_stuck(bare: Celery, twin: Twin) -> None:
    twin.script(endpoint="*", call="status", what="stuck", times=1)
    result = bare.send_task("generation.text_to_image", kwargs={"prompt": "x", "deadline_s": 3})
    with pytest.raises(KilnhandError, match="deadline of 3 s"):
        result.get(timeout=120)
