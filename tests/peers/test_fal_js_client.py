"""fal's own JavaScript client, which nobody here wrote, against the twin: subscribe, queue, run, stream, upload."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from twin.app import create_app
from twin.server import in_thread

FOLDER = Path(__file__).parent / "fal_js"
HOW = "run `make test-peers`, or install Node 18 or newer and run `npm ci` in tests/peers/fal_js"


@pytest.fixture(scope="module")
def session() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What the client printed, and what the twin has on record, after one run of client.mjs."""
    node = shutil.which("node")
    assert node, f"node is not installed: {HOW}"
    assert (FOLDER / "node_modules" / "@fal-ai" / "client").is_dir(), f"@fal-ai/client is not installed: {HOW}"
    with in_thread(create_app()) as server, httpx.Client(base_url=server.url, verify=False) as http:
        http.post("/_twin/platform", json={"any_endpoint": True})
        http.post("/_twin/pace", json={"seconds": 0.5, "queue_seconds": 0.5, "endpoints": {"slow/model": 60}})
        command = [node, str(FOLDER / "client.mjs"), server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout), http.get("/_twin/requests").json()["requests"]


@pytest.fixture
def said(session: tuple[dict[str, Any], list[dict[str, Any]]]) -> dict[str, Any]:
    return session[0]


@pytest.mark.parametrize("mode", ["polling", "streaming"])
def test_subscribe_sees_states_logs_and_result(said: dict[str, Any], mode: str) -> None:
    seen = said[mode]
    assert seen["states"] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert seen["logs"] == ["Starting fal-ai/flux/schnell", *(f"step {n}/4" for n in range(1, 5))]
    assert seen["data"]["seed"] == 7 and seen["data"]["images"][0]["width"] == 512 and seen["requestId"]


def test_the_queue_calls_fit_together(said: dict[str, Any]) -> None:
    queue = said["queue"]
    assert queue["status"]["status"] == "COMPLETED" and queue["status"]["request_id"] == queue["requestId"]
    assert queue["result"]["requestId"] == queue["requestId"] and queue["result"]["data"]["prompt"] == "a fox"
    assert queue["late"] == [400, {"status": "ALREADY_COMPLETED"}]
    assert said["cancel"] == "client_cancelled"


def test_the_options_of_a_submission_arrive(session: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    said, records = session
    record = next(record for record in records if record["request_id"] == said["queue"]["requestId"])
    assert record["webhook_url"] == "http://127.0.0.1:9/?job=7"
    assert record["headers"]["x-fal-queue-priority"] == "low" and record["headers"]["x-fal-runner-hint"] == "lora-1"
    assert record["headers"]["x-fal-request-timeout"] == "30"


def test_run_and_stream_answer(said: dict[str, Any]) -> None:
    assert said["run"]["data"]["seed"] == 7 and said["run"]["requestId"]
    assert len(said["stream"]) > 1 and said["stream"][-1].endswith("hello there")


def test_a_blob_in_an_input_is_uploaded_and_worked_over(said: dict[str, Any]) -> None:
    image = said["picture"]["data"]["images"][0]
    assert (image["width"], image["height"]) == (512, 512)


def test_uploads_come_back_whole_in_one_piece_and_in_many(said: dict[str, Any]) -> None:
    assert said["small"] == {"size": 1000, "first": 7, "last": 9, "type": "application/zip"}
    assert said["big"] == {"size": 91 * 1024 * 1024, "first": 7, "last": 9, "type": "application/zip"}


def test_a_refused_input_is_a_validation_error(said: dict[str, Any]) -> None:
    assert said["refused"] == {"name": "ValidationError", "status": 422, "fields": ["less_than_equal"]}
