"""Our arguments become an endpoint's: names, words, shapes, constants."""

from typing import Any

import pytest

from config.catalogue import Catalogue, Route, Spelling, load_catalogue
from config.mapping import arguments_for, left_out

REALISM = "https://huggingface.co/XLabs-AI/flux-RealismLora/resolve/main/lora.safetensors"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def mapped(catalogue: Catalogue, model: str, arguments: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return arguments_for(catalogue.find(model).routes[0], arguments, extra)


def test_only_what_the_caller_set_is_sent(catalogue: Catalogue) -> None:
    assert mapped(catalogue, "flux-schnell", {"prompt": "a kiln"}) == {"prompt": "a kiln"}


def test_a_parameter_is_renamed_where_the_endpoint_has_another_name(catalogue: Catalogue) -> None:
    assert mapped(catalogue, "sdxl", {"output_format": "png"}) == {"format": "png"}


def test_seconds_are_written_as_the_endpoint_reads_them(catalogue: Catalogue) -> None:
    asked = {"image": "https://example.com/a.png", "duration_s": 8}

    assert mapped(catalogue, "veo-3.1-fast", asked) == {
        "image_url": "https://example.com/a.png",
        "duration": "8s",
        "generate_audio": False,
    }
    assert mapped(catalogue, "seedance-2.0", asked)["duration"] == "8"
    assert mapped(catalogue, "somebody/video", asked)["duration"] == "8"


def test_our_words_become_theirs() -> None:
    write = {"careful": Spelling(to="tolerance", values={"true": "2", "false": "6"})}
    route = Route(provider="fal", endpoint="a/b", takes=("careful",), write=write)

    assert arguments_for(route, {"careful": False}, {}) == {"tolerance": "6"}


def test_the_callers_extra_wins_over_constants_and_arguments(catalogue: Catalogue) -> None:
    sent = mapped(catalogue, "veo-3.1-fast", {"prompt": "a"}, generate_audio=True, prompt="b", resolution="1080p")

    assert sent == {"prompt": "b", "generate_audio": True, "resolution": "1080p"}


def test_realism_keeps_its_own_lora_before_the_callers(catalogue: Catalogue) -> None:
    own = {"path": REALISM, "scale": 1}
    theirs = {"path": "https://example.com/l.safetensors", "scale": 0.8}

    assert mapped(catalogue, "flux-realism", {"prompt": "a"})["loras"] == [own]
    assert mapped(catalogue, "flux-realism", {"loras": [theirs]})["loras"] == [own, theirs]
    assert mapped(catalogue, "flux-realism", {"loras": (theirs,)})["loras"] == [own, theirs]
    assert mapped(catalogue, "flux-realism", {"prompt": "a"})["loras"] == [own], "the catalogue itself must not change"


@pytest.mark.parametrize(
    ("model", "size", "shape"),
    [
        ("flux-pro-v1.1-ultra", "square_hd", {"aspect_ratio": "1:1"}),
        ("flux-pro-v1.1-ultra", "landscape_16_9", {"aspect_ratio": "16:9"}),
        ("flux-pro-v1.1-ultra", {"width": 1344, "height": 768}, {"aspect_ratio": "16:9"}),
        ("nano-banana-2", "square", {"aspect_ratio": "1:1", "resolution": "0.5K"}),
        ("nano-banana-2", "portrait_4_3", {"aspect_ratio": "3:4", "resolution": "1K"}),
        ("nano-banana-2", {"width": 1280, "height": 1024}, {"aspect_ratio": "5:4", "resolution": "2K"}),
        ("nano-banana-pro", "square", {"aspect_ratio": "1:1", "resolution": "1K"}),
        ("nano-banana-pro", {"width": 3840, "height": 2160}, {"aspect_ratio": "16:9", "resolution": "4K"}),
    ],
)
def test_a_size_becomes_a_ratio_and_a_resolution(catalogue: Catalogue, model: str, size: Any, shape: Any) -> None:
    assert mapped(catalogue, model, {"image_size": size}) == shape


def test_a_size_stays_a_size_where_the_endpoint_takes_one(catalogue: Catalogue) -> None:
    size = {"width": 640, "height": 480}

    assert mapped(catalogue, "flux-dev", {"image_size": size}) == {"image_size": size}
    assert mapped(catalogue, "somebody/model", {"image_size": size}) == {"image_size": size}


def test_what_a_route_does_not_take_is_left_out_and_named(catalogue: Catalogue) -> None:
    route, asked = catalogue.find("flux-schnell").routes[0], {"prompt": "a", "negative_prompt": "b"}

    assert arguments_for(route, asked, {}) == {"prompt": "a"}
    assert left_out(route, asked) == ("negative_prompt",)
