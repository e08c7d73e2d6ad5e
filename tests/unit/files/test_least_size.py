"""A picture below the model's least size is refused before a video of it is begun."""

import base64
import io

import pytest
from PIL import Image

from config.catalogue import load_catalogue
from tasks.video import image_to_video
from worker.errors import InvalidRequestError
from worker.files.least_size import size_problem


def picture(width: int, height: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(
        file, form, **({"exif": b"Exif\0\0" + b"x" * 60_000} if form == "JPEG" else {})
    )
    return file.getvalue()


def data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_the_smaller_side_counts(form: str) -> None:
    assert size_problem(picture(63, 900, form), 64) == "is a picture of 63×900 pixels; allowed: 64 or more on each side"
    assert size_problem(picture(64, 64, form), 64) is None
    assert size_problem(picture(1, 1, form), None) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"no picture", picture(9, 9)[:20]])
def test_what_is_no_picture_is_left_to_the_files_own_check(data: bytes) -> None:
    assert size_problem(data, 64) is None


@pytest.mark.parametrize(("model", "least"), [("veo-3.1-fast", 64), ("seedance-2.0", 300)])
def test_a_data_picture_is_refused_when_the_job_is_sent(model: str, least: int) -> None:
    def judge(side: int) -> None:
        given = {"image": data_uri(picture(side, 400)), "prompt": "it moves", "model": model}
        image_to_video.judge((), given, "nothing")

    judge(least)
    message = f"image: is a picture of {least - 1}×400 pixels; allowed: {least} or more on each side \\({model}\\)"
    with pytest.raises(InvalidRequestError, match=message):
        judge(least - 1)


def test_every_video_model_has_a_least_size() -> None:
    for model in load_catalogue().for_task("video.image_to_video"):
        assert model.limits["image"].min_side, model.name
