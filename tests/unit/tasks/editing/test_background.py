"""Removing backgrounds: what each model gets, and what is refused."""

import re
from typing import Any

import pytest

from tasks.editing.background import remove_background
from tests.unit.tasks.sent import refused, sent, step_of

PHOTO = "https://example.com/photo.jpg"


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        ({}, "fal-ai/imageutils/rembg", {}),
        ({"crop": True}, "fal-ai/imageutils/rembg", {"crop_to_bbox": True}),
        (
            {"model": "birefnet", "variant": "Portrait", "resolution": "2048x2048", "output_format": "webp"},
            "fal-ai/birefnet/v2",
            {"model": "Portrait", "operating_resolution": "2048x2048", "output_format": "webp"},
        ),
        ({"model": "bria-rmbg"}, "fal-ai/bria/background/remove", {}),
    ],
)
def test_each_model_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(remove_background, image=PHOTO, **fields) == (endpoint, {"image_url": PHOTO, **arguments})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "image: field required"),
        ({"image": "photo.jpg"}, "image: must be an http"),
        (
            {"image": PHOTO, "variant": "Portrait"},
            "variant: is not a parameter of rembg; these models have it: birefnet-v2",
        ),
        ({"image": PHOTO, "model": "birefnet", "crop": True}, "crop: is not a parameter of birefnet-v2; .*: rembg"),
        ({"image": PHOTO, "output_format": "jpeg"}, "output_format: input should be 'png', 'webp' or 'gif'"),
        ({"image": PHOTO, "model": "flux-dev"}, "model: flux-dev"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    with_words = refused(remove_background, **fields)

    assert re.search(words, with_words), with_words


def test_a_transparent_picture_is_promised() -> None:
    assert step_of(remove_background, image=PHOTO).pieces[0].transparent
