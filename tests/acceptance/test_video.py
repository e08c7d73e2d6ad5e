"""Videos through a real worker and the twin: playable files, and the endpoint of each task."""

import base64
import io
from typing import Any

import httpx
import pytest
from celery import chain

from tasks.generation import text_to_image
from tasks.video import extend, image_to_video, reference_to_video, text_to_video
from tests.acceptance.conftest import Twin
from tests.unit.tasks.pictures import photo
from worker.cli.processes.stack import Stack

PHOTO = "data:image/png;base64," + base64.b64encode(photo(640, 360).data).decode()


def duration_s(file: dict[str, Any]) -> float:
    """Of the stored file, decoded here."""
    import av

    content = httpx.get(file["url"]).raise_for_status().content
    with av.open(io.BytesIO(content)) as container:
        assert next(container.decode(container.streams.video[0])).width == file["width"]
        return (container.duration or 0) / 1_000_000


@pytest.mark.parametrize(
    ("model", "fields", "asked_s"),
    [
        ("kling-v3-pro", {"duration_s": 3, "end_image": PHOTO, "prompt": "it turns", "sound": True}, 3),
        ("wan-2.7", {"duration_s": 2, "resolution": "720p", "prompt": "it turns"}, 2),
        ("stable-video", {"motion": 60}, None),
    ],
)
def test_a_picture_becomes_a_video(
    stack: Stack, twin: Twin, model: str, fields: dict[str, Any], asked_s: float | None
) -> None:
    result = image_to_video.delay(image=PHOTO, model=model, **fields).get(timeout=90)

    length_s = duration_s(result["video"])
    assert asked_s is None or abs(length_s - asked_s) < 0.5
    assert result["video"]["duration_s"] == pytest.approx(length_s, abs=0.1)
    assert sum("image" in name for name in twin.requests()[0]["input"]) == 1 + ("end_image" in fields)


def test_a_text_a_reference_and_an_extension(stack: Stack, twin: Twin) -> None:
    jobs = [
        text_to_video.delay(prompt="a coat", duration_s=4, aspect_ratio="9:16", seed=7),
        reference_to_video.delay(prompt="a coat", images=[PHOTO, PHOTO], model="seedance-2.0", duration_s=4),
    ]
    tall, shown = (job.get(timeout=90)["video"] for job in jobs)
    more = chain(
        text_to_image.s(prompt="a coat", image_size={"width": 640, "height": 360}),
        image_to_video.s(prompt="slow", model="kling-v3-standard", duration_s=3),
        extend.s(prompt="and out"),
    ).apply_async()
    longer = more.get(timeout=120)["video"]

    assert tall["height"] > tall["width"]
    assert duration_s(shown) == pytest.approx(4, abs=0.5)
    assert longer["duration_s"] > 0
    (extension,) = twin.requests("fal-ai/veo3.1/extend-video")
    assert extension["input"]["video_url"].startswith("http")
