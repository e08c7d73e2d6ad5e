"""Veo's long operations through google-genai."""

import io
from collections.abc import Callable
from typing import Any

import av
import pytest
from google.genai import errors, types

VEO = "veo-3.1-lite-generate-001"
Png = Callable[..., bytes]

# google-genai subclasses aiohttp's session, of which aiohttp warns
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def start(sdk: Any, image: bytes | None = None, **config: Any) -> types.GenerateVideosOperation:
    frame = types.Image(image_bytes=image, mime_type="image/png") if image else None
    source = types.GenerateVideosSource(prompt="a walk", image=frame)
    wanted = {"duration_seconds": 4, "seed": 3} | config
    operation: types.GenerateVideosOperation = sdk("models.generate_videos", model=VEO, source=source, config=wanted)
    return operation


def finish(sdk: Any, until: Any, name: str) -> types.GenerateVideosOperation:
    """Ask by the name alone until it is done, as a process that was started anew does."""

    def fetch() -> Any:
        operation = sdk("operations.get", types.GenerateVideosOperation(name=name))
        return operation if operation.done else None

    operation: types.GenerateVideosOperation = until(fetch, "the operation is done")
    return operation


def frames_of(data: bytes) -> tuple[int, int, int]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in container.decode(stream))


def test_a_video_comes_by_the_operations_name(vertex: Any, twin: Any, until: Any, png: Png) -> None:
    started = start(vertex, png("teal"), aspect_ratio="9:16", generate_audio=True, person_generation="allow_adult")
    assert not started.done and started.name.startswith("projects/local/locations/us-central1/publishers/google/models")
    done = finish(vertex, until, started.name)
    (video,) = done.response.generated_videos

    assert video.video.mime_type == "video/mp4" and done.response.rai_media_filtered_count == 0
    width, height, count = frames_of(video.video.video_bytes)
    assert width < height and count == 32
    again = finish(vertex, until, started.name).response.generated_videos[0].video.video_bytes
    assert again == video.video.video_bytes
    (record,) = twin.requests()
    assert (record["request_id"], record["state"], record["polls"] >= 2) == (started.name, "COMPLETED", True)
    assert record["billed"] == {"units": 4, "usd": 0.2}
    url = record["output"]["response"]["videos"][0]["url"]
    assert twin.http.get(url).content == video.video.video_bytes


def test_the_same_seed_gives_the_same_video(vertex: Any, until: Any) -> None:
    names = [start(vertex, seed=seed).name for seed in (3, 3, 4)]
    first, again, other = (finish(vertex, until, name).response.generated_videos[0].video.video_bytes for name in names)

    assert first == again != other


def test_an_operation_is_not_done_before_its_time(vertex: Any, twin: Any) -> None:
    twin.pace(seconds=60)
    started = start(vertex)
    operation = vertex("operations.get", started)

    assert operation.done is None and operation.name == started.name
    (record,) = twin.requests()
    assert (record["state"], record["output"], record["completed_at"]) == ("IN_PROGRESS", None, None)
    assert record["billed"]["usd"] == 0


def test_videos_may_lie_in_a_bucket(vertex: Any, until: Any) -> None:
    name = start(vertex, output_gcs_uri="gs://bucket/out/", number_of_videos=2).name
    videos = finish(vertex, until, name).response.generated_videos

    assert [video.video.uri.rsplit("/", 1)[1] for video in videos] == ["sample_0.mp4", "sample_1.mp4"]
    assert all(video.video.uri.startswith("gs://bucket/out/") for video in videos)


def test_a_lost_answer_leaves_a_paid_operation(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="garbage")
    with pytest.raises((ValueError, errors.UnknownApiResponseError)):
        start(vertex)
    (record,) = twin.requests()
    assert "/operations/" in record["request_id"]


@pytest.mark.parametrize(("status", "code"), [(500, 13), (429, 8), (400, 3)])
def test_a_run_that_fails_says_so_in_the_operation(vertex: Any, twin: Any, until: Any, status: int, code: int) -> None:
    twin.script(what="error", status=status)
    done = finish(vertex, until, start(vertex).name)

    assert done.error["code"] == code and done.response is None and twin.requests()[0]["http_status"] == status


@pytest.mark.parametrize("what", ["blocked", "image_safety"])
def test_a_filtered_video_is_a_good_operation_without_one(vertex: Any, twin: Any, until: Any, what: str) -> None:
    twin.script(what=what)
    done = finish(vertex, until, start(vertex).name)

    assert done.response.rai_media_filtered_count == 1 and done.response.rai_media_filtered_reasons
    assert not done.response.generated_videos and twin.requests()[0]["billed"]["usd"] == 0


def test_a_stuck_operation_is_never_done(vertex: Any, twin: Any) -> None:
    twin.script(what="stuck")
    started = start(vertex)

    assert [vertex("operations.get", started).done for _ in range(3)] == [None] * 3
    assert twin.requests()[0]["state"] == "IN_PROGRESS"


def test_a_poll_may_fail_without_harm(vertex: Any, twin: Any, until: Any) -> None:
    started = start(vertex)
    twin.script(provider="google", call="status", what="http", status=503)
    with pytest.raises(errors.ServerError):
        vertex("operations.get", started)

    assert finish(vertex, until, started.name).response.generated_videos


def test_an_unknown_operation_is_not_found(vertex: Any, twin: Any) -> None:
    started = start(vertex)
    twin.http.post("/_twin/reset")
    with pytest.raises(errors.ClientError) as caught:
        vertex("operations.get", started)

    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"duration_seconds": 5}, "duration_seconds"),
        ({"aspect_ratio": "1:1"}, "aspect_ratio"),
        ({"resolution": "8k"}, "resolution"),
        ({"number_of_videos": 5}, "sample_count"),
        ({"output_gcs_uri": "s3://bucket"}, "storage_uri"),
    ],
)
def test_a_wrong_parameter_is_an_invalid_argument(vertex: Any, twin: Any, config: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ClientError) as caught:
        start(vertex, **config)

    assert caught.value.code == 400 and message in caught.value.message and twin.count() == 0
