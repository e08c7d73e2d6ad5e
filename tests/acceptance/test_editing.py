"""Editing tasks through a real worker and the twin: whole files, of the size that was asked for."""

import gc
import io
from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain
from PIL import Image, ImageDraw

from tasks.editing.background import remove_background, replace_background
from tasks.editing.erasing import erase
from tasks.editing.expansion import expand
from tasks.editing.inpainting import inpaint
from tasks.editing.trying_on import try_on
from tasks.editing.upscaling import upscale
from tasks.generation import text_to_image
from tasks.vision.segmentation import segment
from tests.acceptance.conftest import HTTP, Twin
from tests.unit.tasks.pictures import data_uri
from worker.cli.processes.stack import Stack, run_stack
from worker.errors import RequestRefusedError


@pytest.fixture(scope="module")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As the session's, with Google as well: some edits fall back to it."""
    with run_stack(tmp_path_factory.mktemp("editing"), processes=("redis", "twin", "gateway")) as stack:
        stack.start_worker("worker", env={"KILNHAND_GOOGLE_BASE_URL": f"{stack.twin_url}/google"})
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def photo(width: int = 160, height: int = 120) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 120, 40))
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill=(20, 60, 180))
    return image


def mask(width: int = 160, height: int = 120, ground: int = 0) -> str:
    image = Image.new("L", (width, height), ground)
    ImageDraw.Draw(image).rectangle((40, 30, 79, 59), fill=255 - ground)
    return data_uri(image)


PHOTO, GARMENT = data_uri(photo()), data_uri(photo(90, 120))


def fetched(result: dict[str, Any]) -> Image.Image:
    """The first picture of a result, decoded."""
    (file,) = result["images"]
    image = Image.open(io.BytesIO(HTTP.get(file["url"]).raise_for_status().content))
    image.load()
    assert image.size == (file["width"], file["height"])
    return image


def run(task: Any, **fields: Any) -> dict[str, Any]:
    result = task.delay(**fields).get(timeout=120)
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
    image = fetched(last.get(timeout=120))

    assert image.size == (256, 192)
    assert last.parent.get()["images"][0]["content_type"] == "image/png"


def test_an_endpoint_that_is_away_is_replaced_by_another_model_and_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(endpoint="fal-ai/imageutils/rembg", what="error", status=500, times=-1)

    result = run(remove_background, image=PHOTO)

    assert result["provenance"]["model"] == "fal-ai/birefnet/v2"
    assert result["provenance"]["equivalence"] == "close"


@pytest.mark.parametrize("ground", [0, 255])
def test_inpainting_changes_the_masked_part_and_nothing_else(stack: Stack, ground: int) -> None:
    paints = "black" if ground else None

    image = fetched(
        run(inpaint, image=PHOTO, mask=mask(ground=ground), paints=paints, prompt="a pocket", output_format="png")
    )

    before, after = photo().load(), image.load()
    assert before and after
    changed = {(x, y) for x in range(160) for y in range(120) if before[x, y] != after[x, y]}
    assert changed and all(40 <= x < 80 and 30 <= y < 60 for x, y in changed)


@pytest.mark.parametrize(
    "model", ["flux-lora-inpainting", "flux-krea-lora-inpainting", "qwen-inpainting", "z-image-inpainting"]
)
def test_every_inpainting_model_keeps_the_shape(stack: Stack, model: str) -> None:
    image = fetched(run(inpaint, image=PHOTO, mask=mask(), prompt="a pocket", model=model))

    assert image.width / image.height == pytest.approx(160 / 120, rel=0.04)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(mask(80, 60), "mask: is 80x60 pixels"), (mask(ground=255), "mask: is white in .* wrong way round")],
)
def test_a_mask_that_does_not_fit_costs_nothing(stack: Stack, twin: Twin, wrong: str, words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        run(inpaint, image=PHOTO, mask=wrong, prompt="a pocket")

    assert twin.count == 0


def test_google_inpaints_if_the_caller_allows_what_is_lost(stack: Stack) -> None:
    result = run(inpaint, image=PHOTO, mask=mask(), prompt="a pocket", provider="vertex", allow_degraded=True)

    assert (result["provider"], result["provenance"]["equivalence"]) == ("vertex", "degraded")
    assert result["provenance"]["approximated"]["mask"].startswith("shown as a second picture")
    assert result["provenance"]["prompt"].startswith("Change image 1 only where image 2 is white")
    fetched(result)


def test_something_is_erased_and_the_rest_stays(stack: Stack) -> None:
    image = fetched(run(erase, image=PHOTO, mask=mask(), mask_source="automatic"))

    assert image.size == (160, 120)


@pytest.mark.parametrize("model", ["bria-expand", "flux-2-pro-outpaint"])
@pytest.mark.parametrize(
    ("canvas", "size"),
    [
        ({"sides": {"left": 100, "top": 80}}, (260, 200)),
        ({"ratio": "16:9"}, (213, 120)),
        ({"canvas": {"width": 400, "height": 300}, "position": "right"}, (400, 300)),
    ],
)
def test_a_picture_is_expanded_to_exactly_its_canvas(
    stack: Stack, model: str, canvas: dict[str, Any], size: tuple[int, int]
) -> None:
    assert fetched(run(expand, image=PHOTO, model=model, **canvas)).size == size


@pytest.mark.parametrize("model", ["bria-replace-background", "bria-product-shot"])
def test_a_background_is_replaced(stack: Stack, model: str) -> None:
    assert fetched(run(replace_background, image=PHOTO, prompt="a beach", model=model)).size == (160, 120)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("fashn-v1.6", {}),
        ("kolors", {}),
        ("leffa", {"category": "tops"}),
        ("image-apps-try-on", {}),
        ("virtual-try-on", {}),
    ],
)
def test_a_garment_is_tried_on(stack: Stack, model: str, more: dict[str, str]) -> None:
    assert fetched(run(try_on, person=PHOTO, garment=GARMENT, model=model, **more)).size == (160, 120)


def test_google_tries_on_if_fal_cannot_and_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(endpoint="fal-ai/fashn/tryon/v1.6", what="error", status=500, times=-1)

    result = run(try_on, person=PHOTO, garment=GARMENT)

    assert (result["provider"], result["provenance"]["equivalence"]) == ("vertex", "close")
    assert result["cost"]["usd"] == 0.06
    fetched(result)


def test_the_mask_of_a_segmentation_goes_into_an_inpaint(stack: Stack) -> None:
    last = chain(segment.s(image=PHOTO, prompt="coat"), inpaint.s(image=PHOTO, prompt="a pocket")).apply_async()

    assert fetched(last.get(timeout=60)).size == (160, 120)
