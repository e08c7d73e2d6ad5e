"""`None` is "not given" for every field with a default, in every task, at any depth."""

from typing import Any

import pytest

from worker.cli.demo.calls import CALLS, CLIP, DATASET, GARMENT, MASK, PHOTO, SPEECH, call_of
from worker.cli.job_arguments import all_tasks, find_task
from worker.errors import InvalidRequestError
from worker.jobs.request import JobOptions, check_known_fields, read

FILE, MASK_FILE = "https://example.com/file.png", "https://example.com/mask.png"
FILES = {PHOTO: FILE, MASK: MASK_FILE, GARMENT: MASK_FILE, DATASET: FILE, CLIP: FILE, SPEECH: FILE}
NEEDED = {task: call_of(task, FILES) for task in CALLS}
OPTIONAL = [
    (task.name, name)
    for task in all_tasks().values()
    for name, field in {**task.asks.model_fields, **JobOptions.model_fields}.items()
    if not field.is_required() and name not in NEEDED.get(task.name, {})
]


def test_every_task_is_tried() -> None:
    assert set(NEEDED) == {name for name, _ in OPTIONAL}


@pytest.mark.parametrize(("task", "field"), OPTIONAL)
def test_none_is_as_if_the_field_were_not_given(task: str, field: str) -> None:
    asks, needed = find_task(task).asks, NEEDED[task]
    assert read(task, asks, {**needed, field: None}) == read(task, asks, needed)
    check_known_fields(task, asks, {**needed, field: None}, coming=())


def test_nested_fields_too() -> None:
    asks = find_task("generation.text_to_image").asks
    lora = {"url": FILE, "weight": None, "role": None}
    request, _ = read("t", asks, {"prompt": "a", "loras": [lora], "extra": {"seed_image": None}})
    assert request.loras[0].weight == 0.8  # type: ignore[attr-defined]
    assert request.extra == {"seed_image": None}, "what goes to the endpoint stays as it is"  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [{"prompt": None}, {"prompt": "a", "loras": [{"url": None}]}])
def test_a_required_field_refuses_none(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="input should be a valid string"):
        read("t", find_task("generation.text_to_image").asks, given)


def test_in_a_chain_none_is_taken_from_the_job_before() -> None:
    task = find_task("video.image_to_video")
    before = {"task": "generation.text_to_image", "images": [{"url": FILE}]}
    assert task._given((before,), {"image": None, "prompt": "it moves"})["image"] == FILE
    check_known_fields(task.name, task.asks, {"image": None, "prompt": "it moves"}, coming=task.asks.follows)
