"""A long operation of Google's: its name is all that another worker needs to go on with it."""

import gc
import io
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import pytest

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.conftest import Twin, point_producer_at
from tests.acceptance.test_crash import stages
from tests.conftest import wait_until
from worker.cli.processes.house import House, open_house
from worker.jobs.job import Stage


@pytest.fixture
def house(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[House]:
    """A worker that may ask Google, and is going to be killed; a gateway for the files."""
    with open_house(tmp_path, parts=("redis", "twin", "gateway"), keep=True) as house:
        house.start_worker("worker", env=google(house))
        point_producer_at(house, _patch)
        yield house
        gc.collect()  # results that are collected later would look for their Redis in vain


def google(house: House) -> dict[str, str]:
    return {"KILNHAND_GOOGLE_BASE_URL": f"{house.twin_url}/google"}


def test_a_video_of_vertex_survives_the_worker_that_began_it_and_is_paid_for_once(house: House) -> None:
    twin = Twin(house.twin_url)
    twin.pace(seconds=0.1)
    key = text_to_image.delay(prompt="a kiln", image_size="landscape_16_9").get(timeout=30)["images"][0]["key"]
    twin.pace(seconds=5)
    given = {"model": "veo-3.1-lite", "image": key, "prompt": "it glows", "duration_s": 4, "aspect_ratio": "16:9"}
    job = image_to_video.delay(**given, provider="vertex")
    wait_until(lambda: Stage.WAITING in stages(house), "the operation is under way")
    house["worker"].kill()
    house.start_worker("worker-2", env=google(house))
    result = job.get(timeout=60)
    assert (result["provider"], result["provenance"]["equivalence"]) == ("vertex", "exact")
    assert result["request_id"].startswith("projects/")
    with av.open(io.BytesIO(httpx.get(result["video"]["url"]).content)) as container:
        assert container.streams.video[0].width > container.streams.video[0].height
    (sent,) = [request for request in twin.requests() if request["provider"] == "google"]
    assert sent["input"]["instances"][0]["image"], "the first frame went inside the call"
