"""Pictures from pictures: what each model gets, what a fallback loses, and what is refused."""

import re
from typing import Any

import pytest

from tasks.generation import image_to_image
from tests.unit.tasks.sent import refused, sent, step_of
from worker.edge.job_task import catalogue
from worker.routing.plan import Equivalence, plan
from worker.routing.routes import call_files

ONE, TWO = "https://example.com/1.jpg", "https://example.com/2.jpg"
ASKED = {"prompt": "in linen", "num_images": 1}
LORA = {"url": "https://example.com/coat.safetensors", "role": "product"}


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        ({"strength": 0.6}, "fal-ai/flux/dev/image-to-image", {"image_url": ONE, "strength": 0.6}),
        (
            {"loras": [LORA], "image_size": "square_hd"},
            "fal-ai/flux-lora/image-to-image",
            {"image_url": ONE, "loras": [{"path": LORA["url"], "scale": 0.8}], "image_size": "square_hd"},
        ),
        ({"model": "flux-krea-lora-image-to-image"}, "fal-ai/flux-krea-lora/image-to-image", {"image_url": ONE}),
        (
            {"model": "kontext", "image_size": {"width": 1600, "height": 900}},
            "fal-ai/flux-pro/kontext",
            {"image_url": ONE, "aspect_ratio": "16:9"},
        ),
        (
            {"model": "nano-banana-2-edit", "images": [ONE, TWO], "image_size": "square_hd"},
            "fal-ai/nano-banana-2/edit",
            {"image_urls": [ONE, TWO], "aspect_ratio": "1:1", "resolution": "1K"},
        ),
        ({"model": "nano-banana-pro-edit"}, "fal-ai/nano-banana-pro/edit", {"image_urls": [ONE]}),
        (
            {"model": "seedream-4.5-edit", "seed": 1},
            "fal-ai/bytedance/seedream/v4.5/edit",
            {"image_urls": [ONE], "seed": 1},
        ),
        ({"model": "seedream-5-lite-edit"}, "bytedance/seedream/v5/lite/edit", {"image_urls": [ONE]}),
        (
            {"model": "qwen-image-edit", "images": [ONE, TWO], "negative_prompt": "silk"},
            "fal-ai/qwen-image-edit-2511",
            {"image_urls": [ONE, TWO], "negative_prompt": "silk"},
        ),
        (
            {"model": "qwen-image-edit-lora", "loras": [LORA]},
            "fal-ai/qwen-image-edit-2511/lora",
            {"image_urls": [ONE], "loras": [{"path": LORA["url"], "scale": 0.8}]},
        ),
        (
            {"model": "qwen-image-2"},
            "fal-ai/qwen-image-2/edit",
            {"image_urls": [ONE], "enable_prompt_expansion": False},
        ),
        (
            {"model": "qwen-image-2-pro-edit", "seed": 1},
            "fal-ai/qwen-image-2/pro/edit",
            {"image_urls": [ONE], "seed": 1, "enable_prompt_expansion": False},
        ),
        (
            {"model": "kontext-max", "guidance_scale": 4},
            "fal-ai/flux-pro/kontext/max",
            {"image_url": ONE, "guidance_scale": 4},
        ),
        ({"model": "flux-2", "images": [ONE, TWO]}, "fal-ai/flux-2/edit", {"image_urls": [ONE, TWO]}),
        (
            {"model": "flux-2-lora", "loras": [LORA]},
            "fal-ai/flux-2/lora/edit",
            {"image_urls": [ONE], "loras": [{"path": LORA["url"], "scale": 0.8}]},
        ),
        (
            {"model": "gpt-image-2", "quality": "low", "image_size": {"width": 1024, "height": 1536}},
            "openai/gpt-image-2/edit",
            {"image_urls": [ONE], "quality": "low", "image_size": {"width": 1024, "height": 1536}},
        ),
        (
            {"model": "seedream-5-pro", "output_format": "png"},
            "bytedance/seedream/v5/pro/edit",
            {"image_urls": [ONE], "output_format": "png"},
        ),
        (
            {"model": "grok-imagine", "image_size": "landscape_4_3"},
            "xai/grok-imagine-image/edit",
            {"image_urls": [ONE], "aspect_ratio": "4:3", "resolution": "1k"},
        ),
    ],
)
def test_each_model_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(image_to_image, **{"images": ONE, "prompt": "in linen", **fields}) == (endpoint, {**ASKED, **arguments})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"images": []}, "images: value should have at least 1 item"),
        ({"images": [ONE, TWO]}, r"images: has 2; allowed: 1 \(flux-dev-image-to-image\)"),
        ({"images": [ONE] * 11, "model": "seedream-4.5-edit"}, "images: has 11; allowed: 10"),
        ({"strength": 0}, "strength: input should be greater than or equal to 0.01"),
        (
            {"strength": 0.5, "model": "kontext"},
            "strength: is not a parameter of flux-kontext; these .*: flux-dev-image",
        ),
        ({"image_size": "square"}, "image_size: is not a parameter of flux-dev-image-to-image; these models have it: "),
        ({"model": "flux-schnell"}, "model: flux-schnell"),
        ({"images": [ONE] * 4, "model": "grok-imagine"}, r"images: has 4; allowed: 3 \(grok-imagine-edit\)"),
        ({"images": [ONE] * 10, "model": "flux-2-pro"}, r"images: has 10; allowed: 9 \(flux-2-pro-edit\)"),
        ({"seed": 1, "model": "gpt-image-2"}, "seed: is not a parameter of gpt-image-2-edit; these models have it: "),
        (
            {"image_size": "square", "model": "seedream-4.5"},
            "image_size: is 512x512 pixels; allowed: 3.6864 to 16.7772",
        ),
        ({"loras": [LORA, LORA]}, "each role .* at most once"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(image_to_image, **{"images": ONE, "prompt": "in linen", **fields})

    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("fields", "equivalence"),
    [
        ({}, Equivalence.CLOSE),
        ({"strength": 0.5}, Equivalence.DEGRADED),
        ({"loras": [LORA]}, Equivalence.DEGRADED),
        ({"model": "nano-banana-pro-edit", "images": [ONE, TWO]}, Equivalence.EXACT),
    ],
)
def test_how_near_google_comes(fields: dict[str, Any], equivalence: Equivalence) -> None:
    step = step_of(image_to_image, **{"images": ONE, "prompt": "in linen", **fields})
    model = catalogue().find(step.model)

    assert plan(model, model.routes[1], step).equivalence is equivalence
    assert [file.ref for file in call_files(model.routes[1], step).in_call][:1] == [ONE]


@pytest.mark.parametrize(
    ("family", "member"),
    [
        *((name, f"{name}-image-to-image") for name in ("flux-dev", "flux-lora", "flux-krea-lora")),
        *((name, f"{name}-edit") for name in ("flux-2", "flux-2-pro", "flux-2-lora", "gpt-image-2", "qwen-image-2")),
        *((name, f"{name}-edit") for name in ("nano-banana-2", "nano-banana-pro", "grok-imagine")),
        *((name, f"{name}-edit") for name in ("seedream-4.5", "seedream-5-lite", "seedream-5-pro")),
    ],
)
def test_the_name_of_a_family_finds_the_endpoint_for_pictures(family: str, member: str) -> None:
    assert step_of(image_to_image, images=ONE, prompt="x", model=family).model == member


def test_the_size_that_was_asked_for_is_promised() -> None:
    step = step_of(
        image_to_image, images=ONE, prompt="x", model="qwen-image-edit", image_size="portrait_4_3", num_images=3
    )

    assert [(piece.count, piece.width, piece.height) for piece in step.pieces] == [(3, 768, 1024)]
