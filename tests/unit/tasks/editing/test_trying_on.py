"""Try-on and new backgrounds: what each model gets, what a fallback loses, and what is refused."""

import re
from typing import Any

import pytest

from tasks.editing.background import replace_background
from tasks.editing.trying_on import try_on
from tests.unit.tasks.sent import refused, sent, step_of
from worker.edge.job_task import JobTask, catalogue
from worker.routing.plan import Equivalence, plan

PERSON, GARMENT = "https://example.com/person.jpg", "https://example.com/coat.jpg"
PHOTO = "https://example.com/photo.jpg"


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"category": "tops", "garment_photo": "flat-lay", "quality": "quality", "num_images": 2, "seed": 5},
            "fal-ai/fashn/tryon/v1.6",
            {
                "model_image": PERSON,
                "garment_image": GARMENT,
                "category": "tops",
                "garment_photo_type": "flat-lay",
                "mode": "quality",
                "num_samples": 2,
                "seed": 5,
            },
        ),
        (
            {"model": "kolors"},
            "fal-ai/kling/v1-5/kolors-virtual-try-on",
            {"human_image_url": PERSON, "garment_image_url": GARMENT},
        ),
        (
            {"model": "leffa", "category": "one-pieces"},
            "fal-ai/leffa/virtual-tryon",
            {"human_image_url": PERSON, "garment_image_url": GARMENT, "garment_type": "dresses"},
        ),
        (
            {"model": "image-apps-try-on", "keep_pose": False},
            "fal-ai/image-apps-v2/virtual-try-on",
            {"person_image_url": PERSON, "clothing_image_url": GARMENT, "preserve_pose": False},
        ),
        ({"model": "virtual-try-on", "num_images": 3}, "virtual-try-on-001", {"num_images": 3}),
    ],
)
def test_each_model_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(try_on, person=PERSON, garment=GARMENT, **fields) == (endpoint, arguments)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"garment": PERSON}, "request: garment: is the same file as person"),
        ({"category": "shoes"}, "category: input should be 'tops', 'bottoms' or 'one-pieces'"),
        ({"model": "leffa"}, "category: is required by leffa-try-on"),
        (
            {"model": "kolors", "category": "tops"},
            "category: is not a parameter of kolors-try-on; these .*: fashn-v1.6, le",
        ),
        ({"model": "kolors", "num_images": 2}, "num_images: is not a parameter of kolors-try-on"),
        ({"extra": {"mode": "quality"}}, "extra.mode: has a parameter of its own in this task"),
    ],
)
def test_a_try_on_that_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(try_on, **{"person": PERSON, "garment": GARMENT, **fields})

    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("task", "fields", "equivalence"),
    [
        (try_on, {"person": PERSON, "garment": GARMENT}, Equivalence.CLOSE),
        (try_on, {"person": PERSON, "garment": GARMENT, "category": "tops"}, Equivalence.DEGRADED),
        (replace_background, {"image": PHOTO, "prompt": "a beach"}, Equivalence.CLOSE),
        (replace_background, {"image": PHOTO, "reference": GARMENT}, Equivalence.IMPOSSIBLE),
    ],
)
def test_how_near_google_comes(task: JobTask, fields: dict[str, Any], equivalence: Equivalence) -> None:
    step = step_of(task, **fields)
    model = catalogue().find(step.model)

    assert plan(model, model.routes[1], step).equivalence is equivalence


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"prompt": "a beach", "num_images": 2},
            "fal-ai/bria/background/replace",
            {"prompt": "a beach", "num_images": 2, "refine_prompt": False},
        ),
        (
            {"reference": GARMENT, "model": "bria-product-shot"},
            "fal-ai/bria/product-shot",
            {
                "ref_image_url": GARMENT,
                "num_results": 1,
                "placement_type": "original",
                "original_quality": True,
                "optimize_description": False,
            },
        ),
    ],
)
def test_each_background_model_gets_its_own_names(
    fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]
) -> None:
    assert sent(replace_background, image=PHOTO, **fields) == (endpoint, {"image_url": PHOTO, **arguments})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one of prompt and reference must be given"),
        ({"prompt": "a", "reference": GARMENT}, "exactly one of prompt and reference must be given"),
        ({"reference": PHOTO}, "reference: is the same file as image"),
        ({"prompt": "a", "model": "bria-product-shot", "seed": 1}, "seed: is not a parameter of bria-product-shot"),
    ],
)
def test_a_background_that_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(replace_background, image=PHOTO, **fields)

    assert re.search(words, message), message
