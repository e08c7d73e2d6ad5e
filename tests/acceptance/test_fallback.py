"""One job after the other through a real worker, the vendors' own SDKs and the twin: error, request, options, outcome.

What follows from an error is tabled without processes in `tests/unit`; here it is seen from a backend that has only
Celery, and paid for at the twin.
"""

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
import redis
from celery import Celery
from celery.result import AsyncResult
from PIL import Image

from tests.acceptance.conftest import Twin, forget_health
from tests.acceptance.fallback_rows import CUT, FAILED, LORA, PICTURE, SERVED, Row
from tests.conftest import BARE_ROUTES, wait_until
from worker.cli.processes.ports import free_port
from worker.cli.processes.stack import Stack, run_stack
from worker.errors import ExternalServiceError, ServiceUnavailableError
from worker.jobs.job import Stage, load_job


@dataclass(frozen=True)
class Scene:
    """The processes, and a backend that has Celery and nothing of ours."""

    stack: Stack
    twin: Twin
    backend: Celery
    redis: "redis.Redis[bytes]"
    redis_cut: "redis.Redis[bytes]"

    def send(self, asked: dict[str, Any], queue: str | None = None, task: str = PICTURE) -> AsyncResult:
        return self.backend.send_task(task, kwargs={"prompt": "a jade cup", **asked}, queue=queue)

    def fresh(self, **pace: float) -> None:
        """The twin forgets, and every circuit with it: a row owes nothing to the one before."""
        self.twin.reset()
        self.twin.pace(**{"seconds": 0.1, **pace})
        for ledger in (self.redis, self.redis_cut):
            forget_health(ledger)

    def paid(self) -> dict[str, int]:
        return dict(Counter(request["provider"] for request in self.twin.requests() if not request["is_cancelled"]))

    def stage(self, job_id: str) -> Stage | None:
        row = self.redis.hget(f"kilnhand:job:{job_id}", "doc")
        return load_job(row).stage if row else None


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with run_stack(tmp_path_factory.mktemp("fallback"), processes=("redis", "twin")) as stack:
        others = {
            "KILNHAND_GOOGLE_BASE_URL": f"{stack.twin_url}/google",
            "KILNHAND_ANTHROPIC_BASE_URL": f"{stack.twin_url}/anthropic",
        }
        stack.start_worker("worker", env=others)
        ledger = stack.redis_url.replace("/0", "/2")
        cut = {"KILNHAND_FAL_BASE_URL": f"http://127.0.0.1:{free_port()}", "KILNHAND_LEDGER_URL": ledger}
        stack.start_worker("worker-cut", queues=CUT, env={**others, **cut})
        backend = Celery("backend", broker=stack.redis_url, backend=stack.redis_url, set_as_current=False)
        backend.conf.task_routes = BARE_ROUTES
        with redis.Redis.from_url(stack.redis_url) as client, redis.Redis.from_url(ledger) as client_cut:
            yield Scene(stack, Twin(stack.twin_url), backend, client, client_cut)
        backend.close()
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture(scope="module")
def cut_off(scene: Scene) -> AsyncResult:
    """A job with LoRAs to which fal is down all the time. It is refused ten times, which the others do not wait for."""
    return scene.send({"model": "flux-lora", "loras": [LORA]}, queue=CUT)


def check_files(stack: Stack, result: dict[str, Any], ratio: float) -> None:
    """Every file lies in the store as the result says it, and has the shape that was asked for."""
    for told in files_of(result):
        file = Path(stack.folder, "files", told["key"])
        data = file.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (told["bytes"], told["sha256"])
        assert size_of(file, told["content_type"]) == (told["width"], told["height"])
        assert not ratio or told["width"] / told["height"] == pytest.approx(ratio, rel=0.05)


def files_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [result["video"]] if "video" in result else list(result["images"])


def size_of(file: Path, content_type: str) -> tuple[int, int]:
    """As it is decoded: a picture whole, of a video the first frame."""
    if content_type.startswith("video/"):
        with av.open(str(file)) as container:
            frame = next(container.decode(video=0))
            return frame.width, frame.height
    with Image.open(file) as picture:
        picture.load()
        return picture.size


def check_leaving(scene: Scene, row: Row) -> None:
    """fal was asked to stop as often as the row says; what it gave up had ended before Google was asked."""
    asked = scene.twin.requests()
    left = [request for request in asked if request["is_cancelled"]]
    cancels = sum(request["cancels"] for request in asked)
    assert len(left) == row.given_up
    assert cancels >= 1 if row.cancels is None else cancels == row.cancels
    assert all(request["started_at"] is None for request in left), "it had not begun, so nothing is billed"
    begun = [request["accepted_at"] for request in asked if request["provider"] == "google"]
    assert all(gone["completed_at"] <= at for gone in left for at in begun)


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize("row", SERVED.values(), ids=SERVED)
def test_a_job_is_served_by_whom_its_row_says_with_provenance_and_is_paid_once(scene: Scene, row: Row) -> None:
    scene.fresh(**row.pace)
    for fault in row.faults:
        scene.twin.script(**fault)
    sent = scene.send(row.asked, row.queue, row.task)
    result = sent.get(timeout=120)
    assert sent.state == "SUCCESS"
    told = result["provenance"]
    assert (told["provider"], told["equivalence"]) == (row.by, row.equivalence)
    assert tuple(each["error"] for each in told["tried"]) == row.tried
    assert (set(told["approximated"]), set(told["dropped"])) == (set(row.told_otherwise), set(row.dropped))
    assert told["asked_for"] == row.asked.get("model", "flux-schnell")
    assert "a jade cup" in told["prompt"]
    assert len(told["missing"]) == row.asked.get("num_images", 1) - row.images
    assert len(files_of(result)) == row.images
    check_files(scene.stack, result, row.ratio)
    assert scene.paid() == row.paid
    check_leaving(scene, row)


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize("row", FAILED.values(), ids=FAILED)
def test_a_job_that_nobody_may_serve_fails_with_the_first_error(scene: Scene, row: Row) -> None:
    scene.fresh(**row.pace)
    for fault in row.faults:
        scene.twin.script(**fault)
    sent = scene.send(row.asked, row.queue, row.task)
    with pytest.raises(ExternalServiceError) as failed:
        sent.get(timeout=120)
    assert sent.state == "FAILURE"
    assert type(failed.value) is row.error, failed.value
    assert [words for words in row.says if words not in str(failed.value)] == []
    assert scene.paid() == row.paid


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize("what", ["drop", "nginx"])
def test_a_submission_whose_answer_is_lost_is_found_before_anybody_else_is_asked(scene: Scene, what: str) -> None:
    scene.fresh()
    scene.twin.pace(seconds=0.1, list_lag_s=2)
    scene.twin.script(provider="fal", call="submit", what=what, times=1)
    sent = scene.send({"image_size": "square"})
    wait_until(lambda: scene.stage(sent.id) == Stage.UNKNOWN, "its fate is unknown")
    assert scene.paid() == {"fal": 1}
    result = sent.get(timeout=120)
    assert (result["provenance"]["provider"], result["attempts"], result["possible_duplicate"]) == ("fal", 1, False)
    assert scene.paid() == {"fal": 1}


def test_with_fal_down_a_job_with_loras_fails_after_its_retries_and_says_why_nobody_else_was_asked(
    scene: Scene, cut_off: AsyncResult
) -> None:
    with pytest.raises(ServiceUnavailableError) as failed:
        cut_off.get(timeout=120)
    assert "no answer to POST (ConnectError)" in str(failed.value)
    assert "fallback refused: loras" in str(failed.value)
    row = scene.redis_cut.hget(f"kilnhand:job:{cut_off.id}", "doc")
    assert row
    assert [attempt.provider for attempt in load_job(row).attempts] == ["fal"] * 10
