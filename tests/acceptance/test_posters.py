"""Videos through a real worker and the twin have a poster that can be used."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from tasks.video import image_to_video
from tests.acceptance.conftest import Twin
from tests.unit.tasks.pictures import data_uri
from worker.cli.processes.stack import Stack

PHOTO = data_uri(Image.new("RGB", (400, 300), (200, 120, 40)))


@pytest.mark.parametrize(("model", "has_sound"), [("veo-3.1-fast", False), ("veo-3.1-fast-audio", True)])
def test_a_video_is_as_asked_and_has_a_poster(stack: Stack, model: str, has_sound: bool) -> None:
    asked = {"image": PHOTO, "prompt": "she turns", "model": model, "duration_s": 4, "aspect_ratio": "9:16"}
    result: dict[str, Any] = image_to_video.delay(**asked).get(timeout=90)

    video = result["video"]
    assert (video["content_type"], video["has_sound"]) == ("video/mp4", has_sound)
    assert abs(video["duration_s"] - 4) < 0.5 and abs(video["width"] / video["height"] - 9 / 16) < 0.03
    poster = Image.open(io.BytesIO(httpx.get(video["poster_url"]).raise_for_status().content))
    assert (poster.format, poster.size) == ("JPEG", (video["width"], video["height"]))


def test_a_poster_is_a_picture_for_the_next_job(stack: Stack, twin: Twin) -> None:
    first = image_to_video.delay(image=PHOTO, prompt="she turns", duration_s=4).get(timeout=90)

    second = image_to_video.delay(image=first["video"]["poster_key"], prompt="she turns back", duration_s=4)

    assert second.get(timeout=90)["video"]["bytes"] > 1000
