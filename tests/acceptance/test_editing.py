"""Editing tasks through a real worker and the twin: whole files, of the size that was asked for."""

import base64
import io
from typing import Any

import httpx
import pytest
from celery import chain
from PIL import Image, ImageDraw

from tasks.editing.background import remove_background
from tasks.editing.upscaling import upscale
from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin
from worker.cli.processes.stack import Stack


def data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def photo(width: int = 160, height: int = 120) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 120, 40))
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill=(20, 60, 180))
    return image


PHOTO = data_uri(photo())


def fetched(result: dict[str, Any]) -> Image.Image:
    """The first picture of a result, decoded."""
    (file,) = result["images"]
    image = Image.open(io.BytesIO(httpx.get(file["url"]).raise_for_status().content))
    image.load()
    assert image.size == (file["width"], file["height"])
    return image


def run(task: Any, **fields: Any) -> dict[str, Any]:
    result = task.delay(**fields).get(timeout=60)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("model", ["rembg", "birefnet-v2", "bria-remove-background"])
def test_a_background_is_removed(stack: Stack, model: str) -> None:
    image = fetched(run(remove_background, image=PHOTO, model=model))

    assert (image.size, image.mode) == ((160, 120), "RGBA")
    assert image.getpixel((0, 0))[3] == 0 and image.getpixel((80, 60))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize("model", ["seedvr-upscale", "esrgan", "clarity-upscaler", "topaz-upscale"])
def test_a_picture_is_enlarged_by_its_factor(stack: Stack, twin: Twin, model: str) -> None:
    image = fetched(run(upscale, image=PHOTO, model=model, factor=3))

    assert image.size == (480, 360)
    assert next(iter(twin.requests()))["input"]["image_url"].startswith("http"), "the checked file is uploaded"


def test_a_generation_a_cutout_and_an_enlargement_make_a_chain(stack: Stack) -> None:
    drawn = text_to_image.s(prompt="a coat", image_size={"width": 128, "height": 96})

    last = chain(drawn, remove_background.s(), upscale.s(factor=2)).apply_async()
    image = fetched(last.get(timeout=60))

    assert image.size == (256, 192)
    assert last.parent.get()["images"][0]["content_type"] == "image/png"


def test_an_endpoint_that_is_away_is_replaced_by_another_model_and_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(endpoint="fal-ai/imageutils/rembg", what="error", status=500, times=-1)

    result = run(remove_background, image=PHOTO)

    assert result["provenance"]["model"] == "fal-ai/birefnet/v2"
    assert result["provenance"]["equivalence"] == "close"
