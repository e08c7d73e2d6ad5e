"""Inpainting and erasing: what each model gets, what the check makes of it, and what is refused."""

import io
import re
from typing import Any

import pytest
from PIL import Image, ImageDraw

from config.mapping import arguments_for
from tasks.editing.erasing import erase
from tasks.editing.inpainting import inpaint
from tasks.editing.masks import MaskCheck
from tests.unit.tasks.pictures import media, photo
from tests.unit.tasks.sent import refused, sent, step_of
from worker.edge.job_task import catalogue
from worker.routing.plan import Equivalence, plan

FILES = {"image": "https://example.com/photo.jpg", "mask": "https://example.com/mask.png"}
FAL = {"image_url": FILES["image"], "mask_url": FILES["mask"], "prompt": "a linen coat", "num_images": 1}
LORA = {"url": "https://example.com/coat.safetensors", "role": "product", "weight": 0.7}
SENT_LORA = {"path": LORA["url"], "scale": 0.7}


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"loras": [LORA], "seed": 3},
            "fal-ai/flux-lora-fill",
            {**FAL, "loras": [SENT_LORA], "seed": 3, "paste_back": True, "resize_to_original": True},
        ),
        ({"model": "flux-lora-inpainting", "strength": 0.8}, "fal-ai/flux-lora/inpainting", {**FAL, "strength": 0.8}),
        ({"model": "flux-krea-lora-inpainting"}, "fal-ai/flux-krea-lora/inpainting", FAL),
        (
            {"model": "flux-kontext-inpainting", "reference": "https://example.com/coat.jpg"},
            "fal-ai/flux-kontext-lora/inpaint",
            {**FAL, "reference_image_url": "https://example.com/coat.jpg"},
        ),
        (
            {"model": "qwen-inpainting", "negative_prompt": "logo"},
            "fal-ai/qwen-image-edit/inpaint",
            {**FAL, "negative_prompt": "logo"},
        ),
    ],
)
def test_each_model_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(inpaint, **FILES, prompt="a linen coat", **fields) == (endpoint, arguments)


def test_the_mask_of_z_image_has_another_name() -> None:
    _, arguments = sent(inpaint, **FILES, prompt="a linen coat", model="z-image-inpainting")

    assert arguments["mask_image_url"] == FILES["mask"] and "mask_url" not in arguments


def test_the_eraser_gets_its_own_names() -> None:
    assert sent(erase, **FILES, mask_source="automatic", keep_alpha=True) == (
        "fal-ai/bria/eraser",
        {
            "image_url": FILES["image"],
            "mask_url": FILES["mask"],
            "mask_type": "automatic",
            "preserve_alpha": True,
        },
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask": FILES["image"]}, "request: mask: is the same file as image"),
        ({"paints": "grey"}, "paints: input should be 'white', 'black', 'transparent' or 'opaque'"),
        ({"strength": 0.8}, "strength: is not a parameter of flux-fill; these models have it: flux-lora-inp"),
        ({"model": "flux-kontext-inpainting"}, "reference: is required by flux-kontext-inpainting"),
        (
            {"reference": "https://example.com/a.jpg"},
            "reference: is not a parameter of flux-fill; .*: flux-kontext-inp",
        ),
        ({"model": "qwen-inpainting", "loras": [LORA]}, "loras: is not a parameter of qwen-inpainting"),
        ({"loras": [LORA, LORA]}, "each role .* at most once"),
        ({"provider": "vertex"}, "provider: vertex would lose mask; allow_degraded accepts that"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(inpaint, **{**FILES, "prompt": "a linen coat", **fields})

    assert re.search(words, message), message


@pytest.mark.parametrize(("task", "model"), [(inpaint, "flux-fill"), (erase, "bria-eraser")])
def test_google_gets_the_mask_as_a_picture_and_that_is_called_degraded(task: Any, model: str) -> None:
    given = {**FILES, "prompt": "a coat"} if task is inpaint else FILES
    step, found = step_of(task, **given), catalogue().find(model)
    route = found.routes[1]
    way = plan(found, route, step)

    assert (route.provider, way.equivalence) == ("vertex", Equivalence.DEGRADED)
    assert way.approximated["mask"].startswith("shown as a second picture")
    assert "where image 2 is white" in arguments_for(route, step.arguments, {})["prompt"]


def test_the_result_keeps_the_shape_and_the_mask_is_made_white_where_it_paints() -> None:
    mask = Image.new("L", (64, 48), 255)
    ImageDraw.Draw(mask).rectangle((0, 0, 20, 20), fill=0)
    step = step_of(inpaint, **FILES, prompt="a coat", paints="black")

    prepared = MaskCheck().prepare({"paints": "black"}, step, {"image": photo(64, 48), "mask": media(mask)})

    assert prepared.step.pieces[0].ratio == pytest.approx(64 / 48)
    assert Image.open(io.BytesIO(prepared.changed["mask"].data)).getpixel((5, 5)) == 255
