"""Pictures from words: what each of the newer models gets, and what is refused with what the model can do."""

import re
from typing import Any

import pytest

from config.catalogue import load_catalogue
from config.model import LargePictures, Price
from tasks.generation import text_to_image
from tests.unit.tasks.sent import refused, sent, step_of
from worker.money.cost import estimate_usd

SIZE = {"width": 1280, "height": 768}
LARGE = {"width": 2560, "height": 1440}
LORA = {"url": "https://example.com/coat.safetensors", "role": "product", "weight": 0.9}
SENT_LORAS = [{"path": LORA["url"], "scale": 0.9}]


@pytest.mark.parametrize(
    ("model", "fields", "endpoint", "arguments"),
    [
        ("flux-2-max", {"seed": 1, "image_size": SIZE}, "fal-ai/flux-2-max", {"seed": 1, "image_size": SIZE}),
        ("flux-2-flex", {"guidance_scale": 4}, "fal-ai/flux-2-flex", {"guidance_scale": 4}),
        ("flux-2-dev", {"num_inference_steps": 20}, "fal-ai/flux-2", {"num_inference_steps": 20, "num_images": 1}),
        ("flux-2-turbo", {"output_format": "webp"}, "fal-ai/flux-2/turbo", {"output_format": "webp", "num_images": 1}),
        ("flux-2-flash", {"num_images": 2}, "fal-ai/flux-2/flash", {"num_images": 2}),
        ("flux-2-klein", {"num_inference_steps": 4}, "fal-ai/flux-2/klein/9b", {"num_inference_steps": 4, "num_images": 1}),
        ("flux-2-lora", {"loras": [LORA]}, "fal-ai/flux-2/lora", {"loras": SENT_LORAS, "num_images": 1}),
        ("flux-krea-lora", {"loras": [LORA]}, "fal-ai/flux-krea-lora", {"loras": SENT_LORAS, "num_images": 1}),
        ("gpt-image-2", {"quality": "low"}, "openai/gpt-image-2", {"quality": "low", "num_images": 1}),
        (
            "seedream-4.5",
            {"seed": 3, "image_size": LARGE},
            "fal-ai/bytedance/seedream/v4.5/text-to-image",
            {"seed": 3, "image_size": LARGE, "num_images": 1},
        ),
        ("seedream-5-lite", {}, "bytedance/seedream/v5/lite/text-to-image", {"num_images": 1}),
        ("seedream-5-pro", {"image_size": "square_hd"}, "bytedance/seedream/v5/pro/text-to-image", {"image_size": "square_hd", "num_images": 1}),
        (
            "qwen-image",
            {"negative_prompt": "smoke"},
            "fal-ai/qwen-image-2/text-to-image",
            {"negative_prompt": "smoke", "num_images": 1, "enable_prompt_expansion": False},
        ),
        ("qwen-image-2512", {"guidance_scale": 4}, "fal-ai/qwen-image-2512", {"guidance_scale": 4, "num_images": 1}),
        ("z-image", {"seed": 1}, "fal-ai/z-image/turbo", {"seed": 1, "num_images": 1}),
        ("z-image-lora", {"loras": [LORA]}, "fal-ai/z-image/turbo/lora", {"loras": SENT_LORAS, "num_images": 1}),
        (
            "ideogram",
            {"quality": "high"},
            "ideogram/v4",
            {"rendering_speed": "QUALITY", "expansion_model": "None", "num_images": 1},
        ),
        (
            "grok-imagine",
            {"image_size": {"width": 2000, "height": 1000}},
            "xai/grok-imagine-image",
            {"aspect_ratio": "2:1", "resolution": "2k", "num_images": 1},
        ),
        ("recraft-v4", {"image_size": SIZE}, "fal-ai/recraft/v4/text-to-image", {"image_size": SIZE}),
        ("recraft-v4.1", {"enable_safety_checker": False}, "fal-ai/recraft/v4.1/text-to-image", {"enable_safety_checker": False}),
    ],
)  # fmt: skip
def test_each_model_gets_its_own_names(
    model: str, fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]
) -> None:
    assert sent(text_to_image, prompt="a kiln", model=model, **fields) == (endpoint, {"prompt": "a kiln", **arguments})


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        ("flux-2-pro", {"num_images": 2}, "num_images: is not a parameter of flux-2-pro; these models have it: "),
        ("flux-2-pro", {"image_size": {"width": 3072, "height": 1920}}, "3072x1920 pixels; allowed: 4.1943 megapixels"),
        ("flux-2-klein", {"num_inference_steps": 9}, r"is 9; allowed: 4 to 8 \(flux-2-klein\)"),
        ("gpt-image-2", {"image_size": {"width": 1000, "height": 1000}}, "1000x1000 pixels; allowed: multiples of 16"),
        ("gpt-image-2", {"image_size": {"width": 4096, "height": 1536}}, "4096x1536 pixels; allowed: 3840 on a side"),
        ("gpt-image-2", {"image_size": {"width": 2048, "height": 512}}, "allowed: a longer side of at most 3 times"),
        ("gpt-image-2", {"image_size": "square"}, "512x512 pixels; allowed: 0.65536 to 8.2944 megapixels"),
        ("gpt-image-2", {"seed": 1}, "seed: is not a parameter of gpt-image-2; these models have it: "),
        ("seedream-4.5", {"image_size": "square_hd"}, r"1024x1024 pixels; allowed: 3.6864 to 16.7772 megapixels \(seedr"),
        ("seedream-5-pro", {"image_size": LARGE, "num_images": 4, "output_format": "webp"}, "'webp'; allowed: jpeg, png"),
        ("seedream-5-pro", {"image_size": {"width": 2560, "height": 2560}}, "allowed: 1.04858 to 4.1943 megapixels"),
        ("z-image", {"guidance_scale": 3}, "guidance_scale: is not a parameter of z-image-turbo"),
        ("grok-imagine", {"image_size": {"width": 4096, "height": 2304}}, "is drawn only up to 2k"),
        ("grok-imagine", {"image_size": {"width": 1250, "height": 1000}}, "only in these ratios of width to height: 2:1"),
        ("recraft-v4", {"seed": 1}, "seed: is not a parameter of recraft-v4"),
        ("flux-schnell", {"quality": "low"}, "quality: .* these models have it: gpt-image-2, ideogram-v4"),
        ("gpt-image-2", {"quality": "max"}, "quality: input should be 'low', 'medium' or 'high'"),
        ("z-image", {"loras": [LORA]}, "loras: is not a parameter of z-image-turbo; .*z-image-turbo-lora"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_do_is_refused_with_what_it_can(model: str, fields: dict[str, Any], words: str) -> None:
    message = refused(text_to_image, prompt="a kiln", model=model, **fields)

    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        ({"model": "seedream-5-pro", "image_size": "square_hd"}, 0.0675),
        ({"model": "seedream-5-pro", "image_size": {"width": 1536, "height": 1536}, "num_images": 2}, 0.135),
        ({"model": "seedream-5-pro", "image_size": {"width": 2048, "height": 2048}}, 0.135),
        ({"model": "seedream-5-pro"}, 0.135),
        ({"model": "seedream-5-lite", "num_images": 3}, 0.105),
        ({"model": "flux-2-lora", "image_size": {"width": 2000, "height": 1500}}, 0.063),
        ({"model": "recraft-v4"}, 0.04),
        ({"model": "gpt-image-2"}, None),
    ],
)
def test_what_a_picture_will_cost(fields: dict[str, Any], usd: float | None) -> None:
    step = step_of(text_to_image, prompt="a kiln", **fields)

    assert estimate_usd(load_catalogue().find(step.model), step) == (usd if usd is None else pytest.approx(usd))


def test_large_pictures_are_priced_by_the_picture() -> None:
    with pytest.raises(ValueError, match="large is allowed only for a price per image"):
        Price(usd=1, per="megapixel", large=LargePictures(over=1, units=2))
