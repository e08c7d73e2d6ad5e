"""Enlarging: what each model gets, which size is promised, and what is refused."""

import re
from typing import Any

import pytest

from tasks.editing.upscaling import UpscaleCheck, upscale
from tests.unit.tasks.pictures import photo
from tests.unit.tasks.sent import refused, sent, step_of
from worker.errors import RequestRefusedError
from worker.files.upright import turned_upright, upright_size

PHOTO = "https://example.com/photo.jpg"


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"output_format": "jpeg"},
            "fal-ai/seedvr/upscale/image",
            {"upscale_mode": "factor", "upscale_factor": 2.0, "output_format": "jpg"},
        ),
        (
            {"model": "esrgan", "factor": 4, "enhance_faces": True, "variant": "RealESRGAN_x2plus"},
            "fal-ai/esrgan",
            {"scale": 4.0, "face": True, "model": "RealESRGAN_x2plus"},
        ),
        (
            {"model": "clarity", "prompt": "linen", "creativity": 0.2, "resemblance": 1.5},
            "fal-ai/clarity-upscaler",
            {"upscale_factor": 2.0, "prompt": "linen", "creativity": 0.2, "resemblance": 1.5},
        ),
        (
            {"model": "topaz", "factor": 3, "variant": "CGI", "enhance_faces": False},
            "fal-ai/topaz/upscale/image",
            {"upscale_factor": 3.0, "model": "CGI", "face_enhancement": False},
        ),
    ],
)
def test_each_model_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(upscale, image=PHOTO, **fields) == (endpoint, {"image_url": PHOTO, **arguments})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"factor": 0.5}, "factor: input should be greater than or equal to 1"),
        ({"factor": 8, "model": "topaz"}, r"factor: is 8\.0; allowed: 1 to 4 \(topaz-upscale\)"),
        (
            {"prompt": "linen"},
            "prompt: is not a parameter of seedvr-upscale; these models have it: clarity-upscaler, topaz",
        ),
        ({"model": "esrgan", "variant": "CGI"}, "variant: is 'CGI'; allowed: RealESRGAN_x4plus, "),
        ({"model": "esrgan", "output_format": "webp"}, r"output_format: is 'webp'; allowed: png, jpeg \(esrgan\)"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(upscale, image=PHOTO, **fields)

    assert re.search(words, message), message


@pytest.mark.parametrize(("orientation", "size"), [(None, (160, 120)), (3, (160, 120)), (6, (120, 160))])
def test_the_size_of_the_upright_picture_times_the_factor_is_promised(
    orientation: int | None, size: tuple[int, int]
) -> None:
    step = step_of(upscale, image=PHOTO, factor=2.5)
    prepared = UpscaleCheck().prepare({"factor": 2.5}, step, {"image": photo(64, 48, orientation)})

    assert [(piece.width, piece.height) for piece in prepared.step.pieces] == [size]
    sent = prepared.changed.get("image", photo(64, 48, orientation))
    assert upright_size(sent) == (size[0] / 2.5, size[1] / 2.5)
    assert turned_upright(sent) is None, "an endpoint that ignores the orientation gets the same picture"


def test_more_pixels_than_are_decoded_are_refused_before_anything_is_sent() -> None:
    step = step_of(upscale, image=PHOTO, factor=10)

    with pytest.raises(RequestRefusedError, match=r"^factor: 10 makes 20000x15000 pixels .* here a factor of 5\.77$"):
        UpscaleCheck().prepare({"factor": 10}, step, {"image": photo(2000, 1500)})
