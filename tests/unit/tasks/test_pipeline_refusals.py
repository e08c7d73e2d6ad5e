"""Parameters of later steps are judged before the first step is paid for."""

from typing import Any

import pytest

from tasks.pipelines.face import fix_face
from tasks.pipelines.garment import fix_garment
from tasks.pipelines.lora_with_samples import lora_with_samples
from tasks.pipelines.sticker import sticker
from worker.edge.job_task import JobTask

A_PNG = "https://example.com/a.png"
TRAINED: dict[str, Any] = {"images_data_url": "https://example.com/a.zip", "sample_prompts": ["a mug", "two mugs"]}
TWO = {"images": ["https://example.com/1.jpg", "https://example.com/2.jpg"], "sample_prompts": ["a mug"]}
PHOTO = {"image": A_PNG}
COAT = {"image": A_PNG, "garment": "the coat", "prompt": "a red coat"}


@pytest.mark.parametrize(
    ("task", "given", "field"),
    [
        (lora_with_samples, {**TRAINED, "sample_model": "flux-schnell"}, "sample_model"),
        (lora_with_samples, {**TRAINED, "sample_model": "no-such"}, "sample_model"),
        (lora_with_samples, {**TRAINED, "model": "no-such"}, "model"),
        (lora_with_samples, {**TWO, "model": "flux-2-trainer"}, "images"),
        (lora_with_samples, {**TRAINED, "model": "flux-2-trainer", "is_style": True}, "is_style"),
        (fix_garment, {**COAT, "model": "no-such"}, "model"),
        (fix_face, {**PHOTO, "model": "no-such"}, "model"),
        (fix_face, {**PHOTO, "model": "nano-banana-2", "strength": 0.5}, "strength"),
        (sticker, {"prompt": "a cat", "cutter": "no-such"}, "cutter"),
        (sticker, {"prompt": "a cat", "model": "no-such"}, "model"),
    ],
)
def test_what_a_later_step_refuses_is_refused_at_once(task: JobTask, given: dict[str, Any], field: str) -> None:
    assert [name for name, _ in task.problems_of(given)] == [field]


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (lora_with_samples, TRAINED),
        (lora_with_samples, {**TRAINED, "sample_seed": 7, "lora_scale": 0.8, "captions": "auto", "tenant": "acme"}),
        (fix_garment, COAT),
        (fix_garment, {**COAT, "mask": A_PNG, "tenant": "acme"}),
        (fix_face, PHOTO),
        (fix_face, {**PHOTO, "strength": 0.5, "seed": 3}),
        (sticker, {"prompt": "a cat"}),
        (sticker, {"prompt": "a cat", "image": A_PNG, "strength": 0.5}),
    ],
)
def test_a_good_request_passes(task: JobTask, given: dict[str, Any]) -> None:
    assert task.problems_of(given) == []
