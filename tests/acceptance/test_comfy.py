"""ComfyUI workflows through a real worker and the twin's Comfy server."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tasks.generation.comfy import comfy
from tests.acceptance.conftest import HTTP, Twin, point_producer_at
from tests.acceptance.test_crash import stages
from tests.conftest import wait_until
from tests.unit.tasks.comfy_workflow import LOAD, workflow
from tests.unit.tasks.pictures import data_uri
from worker.cli.processes.stack import Stack, run_stack
from worker.client import status
from worker.errors import RequestRefusedError, SubmitUnknownError
from worker.jobs.job import Stage
from worker.jobs.status import JobStatus

ENDPOINT = "fal-ai/comfy-server"
PHOTO = data_uri(Image.new("RGB", (160, 120), "teal"))


def test_a_workflow_runs_node_by_node_and_its_file_is_uploaded(stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=3)
    job = comfy.delay(workflow=workflow(n11=LOAD), image=PHOTO, inputs={"prompt": "a jar", "steps": 24})

    seen, read = [], list[JobStatus | None]()

    def has_ended() -> bool:
        seen.append((job.state, job.info))
        read.append(status(job.id))
        return bool(job.ready())

    wait_until(has_ended, "the run has ended", every_s=0.2)
    result = job.get()
    shown = [info for state, info in seen if state == "IN_PROGRESS"]

    (file,) = result["images"]
    picture = Image.open(io.BytesIO(HTTP.get(file["url"]).raise_for_status().content))
    assert (picture.size, picture.format) == ((512, 384), "PNG")
    assert result["outputs"][0]["name"] == "final" and result["outputs"][0]["images"] == [0]
    assert result["provenance"]["version"] == "fal-ai/comfy-server/stream"
    assert any("node 8 (KSampler)" in line for info in shown for line in info["logs"])
    assert any(0 < info["progress"] < 1 and not info["progress_estimated"] for info in shown)
    lines = [line for each in read if each and each.state == "IN_PROGRESS" for line in each.logs]
    assert any("node 8 (KSampler)" in line for line in lines), "worker.client.status shows it, too"
    (sent,) = twin.requests(ENDPOINT)
    assert sent["input"]["prompt"]["2"]["inputs"]["value"] == "a jar"
    assert sent["input"]["fal_inputs"]["loadimage_1"].startswith("http"), "the file went to fal's store"


def test_a_workflow_that_the_server_refuses_names_its_node_and_is_not_sent_again(stack: Stack, twin: Twin) -> None:
    unknown = {"class_type": "DoesNotExist", "inputs": {}}
    error = comfy.delay(workflow=workflow(n11=unknown)).get(timeout=60, propagate=False)

    assert isinstance(error, RequestRefusedError) and "node DoesNotExist does not exist" in str(error)
    assert len(twin.requests(ENDPOINT)) == 1


@pytest.fixture
def own(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack whose worker is going to be killed; its streams take two seconds at most."""
    with run_stack(tmp_path, processes=("redis", "twin"), persist=True) as stack:
        point_producer_at(stack, _patch)
        stack.start_worker("worker", env=BRIEF)
        yield stack


BRIEF = {"KILNHAND_FAL_STREAM_S": "2", "KILNHAND_FAL_TIMEOUT_S": "1"}


def test_a_worker_that_dies_in_a_stream_leaves_a_job_that_is_unknown_and_never_run_again(own: Stack) -> None:
    twin = Twin(own.twin_url)
    twin.pace(seconds=60)
    job = comfy.delay(workflow=workflow())
    wait_until(lambda: Stage.SUBMITTING in stages(own) and twin.requests(ENDPOINT), "the stream is open")
    own["worker"].kill()
    own.start_worker("worker-2", env=BRIEF)

    error = job.get(timeout=90, propagate=False)

    assert isinstance(error, SubmitUnknownError)
    assert len(twin.requests(ENDPOINT)) == 1
