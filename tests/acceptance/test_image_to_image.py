"""Pictures from words and from pictures through a real worker and the twin: models of each kind, each at its size."""

from typing import Any

import pytest
from celery import chain
from PIL import Image

from tasks.generation import image_to_image, text_to_image
from tests.acceptance.conftest import Twin
from tests.unit.tasks.pictures import data_uri
from worker.cli.processes.stack import Stack

ONE, TWO = (data_uri(Image.new("RGB", (160, 120), colour)) for colour in ("teal", "orange"))


LORA = {"url": "https://example.com/coat.safetensors", "role": "product"}


@pytest.mark.parametrize(
    ("model", "fields", "size", "sent"),
    [
        ("gpt-image-2", {"quality": "low", "image_size": {"width": 832, "height": 1024}}, (832, 1024), {"quality": "low"}),
        ("seedream-5-pro", {"image_size": "square_hd", "output_format": "png"}, (1024, 1024), {"output_format": "png"}),
        ("grok-imagine", {"image_size": {"width": 1440, "height": 720}}, (1456, 720), {"aspect_ratio": "2:1"}),
        ("ideogram", {"quality": "low", "image_size": "square"}, (512, 512), {"rendering_speed": "TURBO"}),
        ("z-image-lora", {"loras": [LORA], "num_images": 2, "image_size": "square"}, (512, 512), {"num_images": 2}),
        ("recraft-v4", {"image_size": "square"}, (512, 512), {}),
    ],
)  # fmt: skip
def test_a_picture_is_made_from_words(
    stack: Stack, twin: Twin, model: str, fields: dict[str, Any], size: tuple[int, int], sent: dict[str, Any]
) -> None:
    result = text_to_image.delay(prompt="a linen coat", model=model, **fields).get(timeout=120)

    assert [(file["width"], file["height"]) for file in result["images"]] == [size] * fields.get("num_images", 1)
    assert result["provenance"]["equivalence"] == "exact"
    (request,) = twin.requests()
    assert request["input"].items() >= sent.items()


@pytest.mark.parametrize(
    ("model", "fields", "size"),
    [
        ("flux-dev-image-to-image", {"strength": 0.7}, (160, 120)),
        ("flux-krea-lora-image-to-image", {"image_size": {"width": 320, "height": 256}}, (320, 256)),
        ("kontext", {}, (160, 120)),
        ("nano-banana-2-edit", {"images": [ONE, TWO], "image_size": "square_hd"}, (1024, 1024)),
        ("seedream-4.5", {"images": [ONE, TWO], "image_size": {"width": 2560, "height": 1440}}, (2560, 1440)),
        ("flux-2", {"images": [ONE, TWO], "image_size": "square", "output_format": "webp"}, (512, 512)),
        ("grok-imagine", {"image_size": "landscape_4_3"}, (1184, 880)),
        ("qwen-image-edit-lora", {"loras": [LORA], "image_size": "square"}, (512, 512)),
        ("qwen-image-edit", {"num_images": 2, "image_size": "square"}, (512, 512)),
    ],
)
def test_a_picture_is_made_from_pictures(
    stack: Stack, model: str, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    result = image_to_image.delay(**{"images": ONE, "prompt": "in linen", "model": model, **fields}).get(timeout=120)

    assert [(file["width"], file["height"]) for file in result["images"]] == [size] * fields.get("num_images", 1)
    assert result["provenance"]["equivalence"] == "exact"


def test_it_takes_the_first_picture_of_the_generation_before_it(stack: Stack, twin: Twin) -> None:
    drawn = text_to_image.s(prompt="a coat", image_size={"width": 128, "height": 96})

    result = chain(drawn, image_to_image.s(prompt="in linen")).apply_async().get(timeout=120)

    assert (result["images"][0]["width"], result["images"][0]["height"]) == (128, 96)
    assert {request["endpoint"] for request in twin.requests()} == {
        "fal-ai/flux/schnell",
        "fal-ai/flux/dev/image-to-image",
    }
