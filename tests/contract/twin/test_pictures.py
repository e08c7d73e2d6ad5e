"""Pictures: real files of the requested size and format; the same seed gives the same bytes."""

import io
from typing import Any

import pytest
from PIL import Image

from twin.picture import Lora, Picture, draw

SCHNELL = "fal-ai/flux/schnell"
PRESETS = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


def fetch(twin: Any, value: dict[str, Any]) -> Image.Image:
    """Fetch a picture and check that its object describes it."""
    response = twin.http.get(value["url"])
    assert response.headers["content-type"] == value["content_type"]
    image = Image.open(io.BytesIO(response.content))
    image.load()
    assert image.size == (value["width"], value["height"])
    assert Image.MIME[image.format or ""] == value["content_type"]
    return image


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_their_sizes(twin: Any, preset: str) -> None:
    (value,) = twin.make(SCHNELL, {"prompt": "a fox", "image_size": preset})["images"]
    assert fetch(twin, value).size == PRESETS[preset]


@pytest.mark.parametrize("size", [(1, 1), (17, 900), (640, 360), (2000, 1500)])
def test_explicit_sizes_are_kept(twin: Any, size: tuple[int, int]) -> None:
    width, height = size
    (value,) = twin.make(SCHNELL, {"prompt": "a fox", "image_size": {"width": width, "height": height}})["images"]
    assert fetch(twin, value).size == size


@pytest.mark.parametrize(
    ("endpoint", "body", "size"),
    [
        ("fal-ai/nano-banana-2", {}, (1024, 1024)),
        ("fal-ai/nano-banana-2", {"aspect_ratio": "16:9"}, (1360, 768)),
        ("fal-ai/nano-banana-2", {"aspect_ratio": "9:16", "resolution": "2K"}, (1536, 2736)),
        ("fal-ai/nano-banana-pro", {"aspect_ratio": "1:1", "resolution": "2K"}, (2048, 2048)),
        ("fal-ai/flux-pro/v1.1-ultra", {}, (2736, 1536)),
        ("fal-ai/flux-pro/v1.1", {}, (1024, 768)),
        ("fal-ai/fast-sdxl", {}, (1024, 1024)),
    ],
)
def test_other_size_fields_are_understood(
    twin: Any, endpoint: str, body: dict[str, Any], size: tuple[int, int]
) -> None:
    (value,) = twin.make(endpoint, {"prompt": "a fox"} | body)["images"]
    assert (value["width"], value["height"]) == size


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_formats_are_what_they_say(twin: Any, kind: str) -> None:
    (value,) = twin.make("fal-ai/nano-banana-2", {"prompt": "a fox", "output_format": kind, "resolution": "0.5K"})[
        "images"
    ]
    assert value["content_type"] == f"image/{kind}"
    fetch(twin, value)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(twin: Any) -> None:
    def bytes_of(**change: Any) -> bytes:
        body = {"prompt": "a fox", "seed": 7, "image_size": "square"} | change
        return bytes(twin.http.get(twin.make(SCHNELL, body)["images"][0]["url"]).content)

    assert bytes_of() == bytes_of()
    others = [bytes_of(), bytes_of(seed=8), bytes_of(prompt="a wolf"), bytes_of(guidance_scale=9)]
    assert len(set(others)) == 4


def test_each_picture_of_a_request_is_another(twin: Any) -> None:
    output = twin.make(SCHNELL, {"prompt": "a fox", "num_images": 4, "seed": 7, "image_size": "square"})
    assert len({twin.http.get(value["url"]).content for value in output["images"]}) == 4
    assert output["has_nsfw_concepts"] == [False] * 4 and output["seed"] == 7


def test_a_random_seed_is_in_the_answer_and_can_be_used_again(twin: Any) -> None:
    body = {"prompt": "a fox", "image_size": "square"}
    first, second = twin.make(SCHNELL, body), twin.make(SCHNELL, body)
    again = twin.make(SCHNELL, body | {"seed": first["seed"]})
    drawn = [twin.http.get(output["images"][0]["url"]).content for output in (first, second, again)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_what_was_asked_for_is_written_on_the_picture() -> None:
    plain = Picture(512, 512, "png", "fal-ai/flux-lora", "", 1)
    inked = [
        Picture(512, 512, "png", "fal-ai/flux-lora", "a fox", 1),
        Picture(512, 512, "png", "fal-ai/flux-lora", "", 1, loras=(Lora("mug.safetensors", 0.8, "TOK"),)),
    ]
    blank = plain.render()
    assert all(picture.render() != blank for picture in inked)
    assert str(Lora("mug.safetensors", 0.8, "TOK")) == "mug.safetensors @ 0.8 “TOK”"


def test_the_scene_itself_follows_the_seed() -> None:
    skies = {draw(Picture(256, 256, "png", "m", "", seed)).crop((0, 0, 256, 60)).tobytes() for seed in range(6)}
    assert len(skies) == 6


def test_cutouts_are_transparent_and_masks_are_grey(twin: Any) -> None:
    cutout = fetch(twin, twin.make("fal-ai/imageutils/rembg", {"image_url": "https://example.com/a.png"})["image"])
    assert cutout.mode == "RGBA" and cutout.getpixel((0, 0))[3] == 0  # type: ignore[index]
    masks = twin.make("fal-ai/sam-3/image", {"image_url": "https://example.com/a.png"})["masks"]
    assert fetch(twin, masks[0]).mode == "L"


def test_head_tells_the_size_without_the_bytes(twin: Any) -> None:
    url = twin.make()["images"][0]["url"]
    head = twin.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(twin.http.get(url).content))


def test_a_picture_that_nobody_could_hold_is_refused(twin: Any) -> None:
    (entry,) = twin.refused(SCHNELL, {"prompt": "a fox", "image_size": {"width": 14000, "height": 14000}})
    assert entry["loc"] == ["body", "image_size"]
