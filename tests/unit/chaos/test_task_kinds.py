"""The kinds of load that are data: each is a request that its task takes, and its values are compared with the twin's."""

import base64
import io
from dataclasses import replace
from random import Random
from typing import Any

import av
import pytest
from PIL import Image

from tests.chaos import load
from tests.chaos.caller import TASKS, find_task
from tests.chaos.checks import check
from tests.chaos.collector import decoding_problem
from tests.chaos.marked_files import SIZE, mask, picture, sound
from tests.chaos.task_kinds import TASK_KINDS
from tests.chaos.versions import OLD_WEIGHTS
from tests.unit.chaos.example_history import good_history, request, set_result

FOUND = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 0.6}


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_task_takes_the_request_of_its_kind(kind: str) -> None:
    spec = load.of_task(kind, 7)
    task = find_task(spec.task)
    task.judge((), spec.fields, "nothing")
    assert load.mark_of(spec.fields) == (7, 1) and spec.task == task.name


@pytest.mark.parametrize("kind", sorted(load.WEIGHTS.keys() - TASK_KINDS.keys() - {"invalid"}))
def test_no_job_of_the_load_is_refused_before_it_is_sent(kind: str) -> None:
    for item in load.draw(Random("1"), 20, 9.0, {kind: 1}):
        for part in item.parts[: 1 if kind == "chain" else None]:  # the second one takes its picture from the first
            find_task(part.task).judge((), part.fields, "nothing")


def test_an_older_version_is_sent_only_tasks_that_it_knows() -> None:
    assert TASK_KINDS.keys().isdisjoint(OLD_WEIGHTS)
    assert {each.task for each in TASK_KINDS.values()} <= TASKS.keys()


def content(data_uri: str) -> bytes:
    return base64.b64decode(data_uri.partition(",")[2])


def test_files_of_the_load_decode_and_carry_the_mark_of_their_job() -> None:
    for made in (picture("chaos job 7.1"), mask("chaos job 7.1")):
        assert Image.open(io.BytesIO(content(made))).size == SIZE
    with av.open(io.BytesIO(content(sound("chaos job 7.1")))) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 8_000
    assert all(b"chaos job 7.1" in content(make("chaos job 7.1")) for make in (picture, mask, sound))
    assert decoding_problem(content(sound("x")), "audio/wav") == ""


@pytest.mark.parametrize(
    ("piece", "got", "answered"),
    [
        ("text", {"text": "a coat"}, {"text": " a coat "}),
        ("objects", {"objects": [{"normalised": FOUND}]}, {"objects": [FOUND]}),
        ("objects", {"objects": []}, {"objects": []}),
        ("masks", {"masks": [{"key": "a"}], "objects": [{}]}, {"masks": [{}], "boxes": [[0, 0, 1, 1]]}),
    ],
)
def test_values_that_are_not_those_of_the_answer_are_found(
    piece: str, got: dict[str, Any], answered: dict[str, Any]
) -> None:
    for output, is_wrong in ((answered, False), ({}, bool(answered[next(iter(answered))]))):
        history = good_history()
        history.expected_jobs = [replace(history.expected_jobs[0], piece=piece)]
        history.requests = [request(output=output)]
        set_result(history, "SUCCESS", **got)
        found = [each for each in check(history)["whole_piece"] if "instead of" in each.text and ": " in each.text]
        assert bool(found) == is_wrong


def test_the_mark_of_a_file_is_read_as_it_was_written() -> None:
    for number in range(300):
        for uri in (picture(load.mark(number)), sound(load.mark(number))):
            content = base64.b64decode(uri.partition(",")[2])
            assert load.find_mark(content.decode("latin-1")) == (number, 1)
