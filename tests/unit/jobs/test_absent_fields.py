"""`None` is "not given" for every field with a default, in every task, at any depth."""

from typing import Any

import pytest

from worker.cli.job_arguments import all_tasks, find_task
from worker.errors import InvalidRequestError
from worker.jobs.request import JobOptions, check_known_fields, read

FILE, MASK = "https://example.com/file.png", "https://example.com/mask.png"
NEEDED: dict[str, dict[str, Any]] = {
    "audio.speak": {"text": "a"},
    "audio.transcribe": {"audio": FILE},
    "editing.blend": {"base": FILE, "over": FILE, "mask": MASK},
    "editing.contact_sheet": {"images": [FILE]},
    "editing.cut": {"image": FILE, "box": {"x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}},
    "editing.erase": {"image": FILE, "mask": MASK},
    "editing.expand": {"image": FILE, "ratio": "16:9"},
    "editing.fix_face": {"image": FILE},
    "editing.fix_garment": {"image": FILE, "garment": "the coat", "prompt": "a"},
    "editing.sticker": {"prompt": "a"},
    "editing.grow_mask": {"mask": FILE},
    "editing.inpaint": {"image": FILE, "mask": MASK, "prompt": "a"},
    "editing.remove_background": {"image": FILE},
    "editing.replace_background": {"image": FILE, "prompt": "a"},
    "editing.try_on": {"person": FILE, "garment": MASK},
    "editing.upscale": {"image": FILE},
    "generation.image_to_image": {"images": [FILE], "prompt": "a"},
    "generation.text_to_image": {"prompt": "a"},
    "language.analyse": {"images": [FILE], "questions": ["what?"]},
    "language.caption": {"images": [FILE]},
    "language.style": {"wardrobe": [{"name": "hat"}]},
    "training.lora_with_samples": {"images_data_url": FILE, "sample_prompts": ["a"]},
    "training.lora": {"images_data_url": FILE},
    "video.extend": {"video": FILE, "prompt": "a"},
    "video.image_to_video": {"image": FILE, "prompt": "it moves"},
    "video.reference_to_video": {"images": [FILE], "prompt": "a"},
    "video.text_to_video": {"prompt": "a"},
    "vision.ask": {"image": FILE, "question": "what?"},
    "vision.describe": {"image": FILE},
    "vision.detect": {"image": FILE, "prompt": "a"},
    "vision.detect_faces": {"image": FILE},
    "vision.point": {"image": FILE, "prompt": "a"},
    "vision.segment": {"image": FILE, "prompt": "a"},
}
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
