"""Edits: what is not changed keeps its pixels, and what the real endpoints refuse is refused."""

import io
from typing import Any

import pytest
from PIL import Image

SIZE = (96, 64)
PICTURE = Image.new("RGB", SIZE, (200, 120, 40))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photo(twin: Any) -> str:
    return str(twin.upload(png(PICTURE)))


def drawn(twin: Any, value: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(twin.http.get(value["url"]).content))


def test_outside_the_mask_every_pixel_stays(twin: Any, photo: str) -> None:
    mask = Image.new("L", SIZE)
    mask.paste(255, (10, 10, 30, 30))
    body = {"image_url": photo, "mask_url": twin.upload(png(mask)), "prompt": "a pocket", "output_format": "png"}

    (value,) = twin.make("fal-ai/flux-lora-fill", body)["images"]
    image = drawn(twin, value)

    assert image.size == SIZE
    assert image.getpixel((50, 50)) == (200, 120, 40)
    assert image.getpixel((20, 20)) != (200, 120, 40)


@pytest.mark.parametrize(
    ("endpoint", "body", "size", "inside", "outside"),
    [
        (
            "fal-ai/bria/expand",
            {"canvas_size": [200, 100], "original_image_size": [96, 64], "original_image_location": [100, 30]},
            (200, 100),
            (150, 60),
            (20, 20),
        ),
        ("fal-ai/flux-2-pro/outpaint", {"expand_left": 40, "expand_bottom": 16}, (136, 80), (90, 30), (10, 10)),
    ],
)
def test_a_picture_stands_on_its_canvas_where_it_was_put(
    twin: Any,
    photo: str,
    endpoint: str,
    body: dict[str, Any],
    size: tuple[int, int],
    inside: tuple[int, int],
    outside: tuple[int, int],
) -> None:
    image = drawn(twin, twin.make(endpoint, {"image_url": photo, **body})["image"]).convert("RGB")
    near = image.getpixel(inside)

    assert image.size == size
    assert isinstance(near, tuple) and all(abs(a - b) < 12 for a, b in zip(near, (200, 120, 40), strict=True))
    assert image.getpixel(outside) != (200, 120, 40)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("fal-ai/flux-2-pro/outpaint", {"expand_left": 2600}),
        ("fal-ai/bria/expand", {"canvas_size": [5000, 5000]}),
        ("fal-ai/topaz/upscale/image", {"upscale_factor": 5}),
        ("fal-ai/bria/eraser", {}),
        ("fal-ai/leffa/virtual-tryon", {"garment_type": "shoes"}),
        ("openai/gpt-image-2", {"prompt": "a", "image_size": {"width": 1000, "height": 1000}}),
        ("openai/gpt-image-2", {"prompt": "a", "image_size": {"width": 512, "height": 512}}),
        ("openai/gpt-image-2", {"prompt": "a", "image_size": {"width": 3840, "height": 1024}}),
        ("openai/gpt-image-2", {"prompt": "a", "image_size": {"width": 4096, "height": 1920}}),
        ("bytedance/seedream/v5/pro/text-to-image", {"prompt": "a", "image_size": {"width": 2560, "height": 2048}}),
        ("bytedance/seedream/v5/lite/text-to-image", {"prompt": "a", "image_size": {"width": 1024, "height": 1024}}),
    ],
)
def test_what_the_real_endpoint_refuses_is_refused(twin: Any, photo: str, endpoint: str, body: dict[str, Any]) -> None:
    assert twin.refused(endpoint, {"image_url": photo, "human_image_url": photo, "garment_image_url": photo, **body})


@pytest.mark.parametrize(
    ("endpoint", "body", "size"),
    [("fal-ai/esrgan", {"scale": 3}, (288, 192)), ("fal-ai/seedvr/upscale/image", {}, (192, 128))],
)
def test_an_enlargement_has_its_factor(
    twin: Any, photo: str, endpoint: str, body: dict[str, Any], size: tuple[int, int]
) -> None:
    assert drawn(twin, twin.make(endpoint, {"image_url": photo, **body})["image"]).size == size


def test_a_cutout_is_transparent_around_the_picture(twin: Any, photo: str) -> None:
    image = drawn(twin, twin.make("fal-ai/imageutils/rembg", {"image_url": photo})["image"])

    assert image.mode == "RGBA"
    assert image.getpixel((0, 0))[3] == 0 and image.getpixel((48, 32)) == (200, 120, 40, 255)  # type: ignore[index]


@pytest.mark.parametrize(
    ("endpoint", "image_size", "size"),
    [
        ("bytedance/seedream/v5/pro/text-to-image", "auto_1K", (1024, 1024)),
        ("bytedance/seedream/v5/pro/text-to-image", "landscape_16_9", (1376, 768)),
        ("bytedance/seedream/v5/lite/text-to-image", "square", (1920, 1920)),
        ("openai/gpt-image-2", "square_hd", (1024, 1024)),
    ],
)
def test_a_word_for_a_size_is_drawn_as_large_as_its_endpoint_draws(
    twin: Any, endpoint: str, image_size: str, size: tuple[int, int]
) -> None:
    (value,) = twin.make(endpoint, {"prompt": "a", "image_size": image_size})["images"]

    assert (value["width"], value["height"]) == size
