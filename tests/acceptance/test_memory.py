"""Large pictures of Vertex AI while the store is away: no more calls than memory has room for, and none is lost."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from worker.cli.processes.stack import Stack, run_stack

AWAY_S, PICTURES, AT_ONCE = 2.5, 7, 2
LARGE = {"model": "nano-banana-2.1", "image_size": {"width": 2048, "height": 2048}}  # takes 48 MB


@pytest.fixture
def stack(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A worker with room for two such pictures; of its eight claims four may wait for it."""
    with run_stack(tmp_path, processes=("redis", "twin")) as stack:
        google = {"KILNHAND_GOOGLE_BASE_URL": f"{stack.twin_url}/google", "KILNHAND_GOOGLE_MEMORY_MB": "100"}
        stack.start_worker("worker", env={**google, "KILNHAND_MAX_CLAIMS": "8"})
        point_producer_at(stack, _patch)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def most_at_once(calls: list[tuple[float, float]]) -> int:
    return max(sum(began <= at < ended for began, ended in calls) for at, _ in calls)


def test_while_the_store_is_away_large_pictures_wait_for_memory_and_all_end_well(stack: Stack) -> None:
    twin = Twin(stack.twin_url)
    twin.pace(seconds=0.3)
    store = stack.folder / "files"
    aside = store.rename(store.with_name("aside"))
    store.write_text("in the place of the folder, so that no file can be put into it")
    away_since = time.time()
    jobs = [text_to_image.delay(prompt=f"a kiln, {n}", **LARGE, provider="vertex") for n in range(PICTURES)]

    def calls(provider: str = "google") -> list[tuple[float, float]]:
        asked = [each for each in twin.requests() if each["provider"] == provider]
        return [(each["accepted_at"], each["completed_at"] or time.time()) for each in asked]

    wait_until(lambda: len(calls()) == AT_ONCE, "two calls were made")
    jobs.append(text_to_image.delay(prompt="a kiln"))
    wait_until(lambda: calls("fal"), "a call that needs no room is made, whoever waits for some")
    wait_until(lambda: time.time() > away_since + AWAY_S, "the store is away for a while")
    assert len(calls()) == AT_ONCE, "what came has to be stored before there is room for more"
    store.unlink()
    aside.rename(store)
    results = [job.get(timeout=120) for job in jobs]
    assert [result["provider"] for result in results] == ["vertex"] * PICTURES + ["fal"]
    assert all((store / file["key"]).is_file() for result in results for file in result["images"])
    assert len(calls()) == PICTURES and most_at_once(calls()) == AT_ONCE
