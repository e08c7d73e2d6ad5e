"""Equal requests share a run, through a real worker and the twin: one submission, one bill, the same files."""

import base64
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from tasks.editing import upscale
from tasks.generation import text_to_image
from tasks.language.completion import complete
from tests.acceptance.conftest import HTTP, Twin
from tests.conftest import wait_until
from tests.unit.tasks.pictures import photo
from worker.cli.processes.stack import Stack
from worker.client import cancel, status, upload

HOUR = 3600
SLOW = "fal-ai/flux/dev"


def _same_files(*results: dict[str, Any]) -> bool:
    return len({tuple(file["sha256"] for file in result["images"]) for result in results}) == 1


def _until_all_have_joined(jobs: list[Any]) -> None:
    def have_joined() -> bool:
        return all("the run is job" in str(seen and seen.logs) for seen in map(status, [job.id for job in jobs]))

    wait_until(have_joined, "the run of all jobs")


def test_equal_requests_under_way_share_a_run_and_each_has_its_own_cancel(stack: Stack, twin: Twin) -> None:
    twin.pace(endpoints={SLOW: 600})
    asked = {"prompt": "a blue vase", "model": "flux-dev", "num_images": 2}
    jobs = [text_to_image.delay(**asked, reuse_s=HOUR, labels={"n": str(n)}) for n in range(3)]
    _until_all_have_joined(jobs)
    other = text_to_image.delay(**asked)
    wait_until(lambda: len(twin.requests(SLOW)) == 2, "the run of the other job")
    cancelled = cancel(jobs[0].id, wait_s=60)
    assert cancelled.state == "REVOKED" and cancelled.receipt and cancelled.receipt.in_time
    twin.finish()

    results = [job.get(timeout=120) for job in jobs[1:]]
    other.get(timeout=120)
    with pytest.raises(TaskRevokedError):
        jobs[0].get(timeout=120)
    assert len(twin.requests(SLOW)) == 2, "the one without reuse_s has its own"
    assert _same_files(*results) and len(results[0]["images"]) == 2
    assert {result["labels"]["n"] for result in results} == {"1", "2"}
    assert all(result["provider"] == "fal" and result["endpoint"] == SLOW for result in results)
    assert results[0]["request_id"] == results[1]["request_id"] != ""
    assert sorted(result["total_cost"]["usd"] > 0 for result in results)[0] is False
    assert all(HTTP.get(result["images"][0]["url"]).status_code == 200 for result in results)


def test_the_last_job_that_is_cancelled_cancels_the_run(stack: Stack, twin: Twin) -> None:
    twin.pace(endpoints={SLOW: 600})
    jobs = [text_to_image.delay(prompt="a red vase", model="flux-dev", reuse_s=HOUR) for _ in range(2)]
    _until_all_have_joined(jobs)
    for job in jobs:
        assert cancel(job.id, wait_s=60).state == "REVOKED"
    (request,) = twin.requests(SLOW)
    assert request["is_cancelled"], request


def test_a_finished_run_is_reused_and_pictures_count_by_their_content(stack: Stack, twin: Twin) -> None:
    picture = photo(300, 200, orientation=1).data
    first = upscale.delay(image=upload(picture), reuse_s=HOUR).get(timeout=120)
    count = twin.count
    uri = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    later = upscale.delay(image=uri, reuse_s=HOUR, labels={"who": "later"}).get(timeout=120)
    assert twin.count == count
    assert _same_files(first, later) and later["job_id"] != first["job_id"]
    assert (first["reused_from"], later["cost"]["usd"], later["total_cost"]["certainty"]) == (None, 0, "exact")
    assert first["cost"]["usd"] > 0 and later["reused_from"] not in {None, first["job_id"]}
    assert later["provenance"] == first["provenance"] and later["labels"] == {"who": "later"}


def test_words_are_reused_too(stack: Stack, twin: Twin) -> None:
    asked = {"prompt": "Name a colour.", "model": "openrouter", "llm": "openai/gpt-4.1", "reuse_s": HOUR}
    first, later = (complete.delay(**asked).get(timeout=120) for _ in range(2))
    assert first["text"] == later["text"] != "" and later["reused_from"]
    assert (later["cost"]["usd"], first["provider"], later["provider"]) == (0, first["provider"], first["provider"])
