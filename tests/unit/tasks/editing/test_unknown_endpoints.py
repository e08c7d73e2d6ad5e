"""Endpoints that are not in the catalogue get what the caller set, under fal's commonest names, and nothing else."""

from typing import Any

import pytest

from tasks.editing import erase, inpaint, remove_background, try_on, upscale
from tasks.generation import image_to_image
from tests.unit.tasks.sent import sent
from worker.edge.job_task import JobTask

A, B = "https://example.com/a.png", "https://example.com/b.png"


@pytest.mark.parametrize(
    ("task", "fields", "arguments"),
    [
        (remove_background, {"image": A}, {"image_url": A}),
        (upscale, {"image": A}, {"image_url": A}),
        (upscale, {"image": A, "extra": {"scale": 3}}, {"image_url": A, "scale": 3}),
        (inpaint, {"image": A, "mask": B, "prompt": "x"}, {"image_url": A, "mask_url": B, "prompt": "x"}),
        (erase, {"image": A, "mask": B}, {"image_url": A, "mask_url": B}),
        (image_to_image, {"images": [A, B], "prompt": "x"}, {"image_urls": [A, B], "prompt": "x"}),
        (try_on, {"person": A, "garment": B, "num_images": 2}, {"person": A, "garment": B, "num_images": 2}),
    ],
)
def test_nothing_is_assumed(task: JobTask, fields: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert sent(task, model="own/endpoint", **fields) == ("own/endpoint", arguments)
