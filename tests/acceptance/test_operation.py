"""A long operation of Google's: its name is all that another worker needs to go on with it."""

import gc
import io
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.conftest import HTTP, Twin, point_producer_at
from tests.acceptance.test_crash import stages
from tests.conftest import wait_until
from worker.cli.processes.stack import Stack, run_stack
from worker.jobs.job import Stage


@pytest.fixture
def stack(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A worker that may ask Google, and is going to be killed; a gateway for the files."""
    with run_stack(tmp_path, processes=("redis", "twin", "gateway"), persist=True) as stack:
        stack.start_worker("worker", env=google(stack))
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def google(stack: Stack) -> dict[str, str]:
    return {"KILNHAND_GOOGLE_BASE_URL": f"{stack.twin_url}/google"}


def test_a_video_of_vertex_survives_the_worker_that_began_it_and_is_paid_for_once(stack: Stack) -> None:
    twin = Twin(stack.twin_url)
    twin.pace(seconds=0.1)
    key = text_to_image.delay(prompt="a kiln", image_size="landscape_16_9").get(timeout=120)["images"][0]["key"]
    twin.pace(seconds=5)
    given = {"model": "veo-3.1-lite", "image": key, "prompt": "it glows", "duration_s": 4, "aspect_ratio": "16:9"}
    job = image_to_video.delay(**given, provider="vertex")
    wait_until(lambda: Stage.WAITING in stages(stack), "the operation is under way")
    stack["worker"].kill()
    stack.start_worker("worker-2", env=google(stack))
    result = job.get(timeout=120)
    assert (result["provider"], result["provenance"]["equivalence"]) == ("vertex", "exact")
    assert result["request_id"].startswith("projects/")
    with av.open(io.BytesIO(HTTP.get(result["video"]["url"]).content)) as container:
        assert container.streams.video[0].width > container.streams.video[0].height
    (sent,) = [request for request in twin.requests() if request["provider"] == "google"]
    assert sent["input"]["instances"][0]["image"], "the first frame went inside the call"
