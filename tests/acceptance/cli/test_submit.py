"""`kilnhand submit` and `kilnhand status` against a stack of real processes."""

import json
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.cli.conftest import Finished, RunningCommand
from tests.acceptance.conftest import HTTP, Twin
from tests.acceptance.test_large_inputs import zipped
from tests.conftest import wait_until
from twin.safetensors import write_lora
from worker.cli.local_files import MAX_INLINE_BYTES
from worker.cli.processes.stack import Stack

PICTURE = "generation.text_to_image"


def test_a_job_is_followed_to_its_urls(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    ran = kilnhand("submit", PICTURE, "prompt=a fox", "num_images=2", "image_size=square", env=stack.environment)
    assert ran.status == 0, ran.err
    urls = [line for line in ran.out.splitlines() if line.startswith("http")]
    assert len(urls) == 2 and all(url.startswith(f"{stack.gateway_url}/files/") for url in urls)
    assert "512×512 image/jpeg" in ran.out
    assert "SUCCESS" in ran.err and "flux-schnell by fal" in ran.err


def test_json_output_is_only_the_result(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    size = '{"width": 320, "height": 192}'
    ran = kilnhand("submit", PICTURE, "prompt=42 foxes", f"image_size={size}", "--json", env=stack.environment)
    result = json.loads(ran.out)
    assert (ran.status, ran.err) == (0, "")
    assert [result["images"][0][side] for side in ("width", "height")] == [320, 192]


def test_a_large_local_picture_reaches_the_provider(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin, tmp_path: Path
) -> None:
    twin.pace(seconds=0.2)
    photo = tmp_path / "photo.png"
    Image.frombytes("RGB", (640, 360), random.Random(7).randbytes(640 * 360 * 3)).save(photo)
    assert photo.stat().st_size > MAX_INLINE_BYTES
    given = (f"image=@{photo}", "prompt=it glows", "duration_s=4")
    ran = kilnhand("submit", "video.image_to_video", *given, "--json", env=stack.environment)
    assert ran.status == 0, ran.err
    (sent,) = twin.requests("fal-ai/veo3.1/fast/image-to-video")
    assert HTTP.get(sent["input"]["image_url"]).content == photo.read_bytes()


@pytest.mark.parametrize("side", [48, 320], ids=["inside the request", "through the store"])
def test_a_local_archive_is_used_for_a_training(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin, tmp_path: Path, side: int
) -> None:
    twin.pace(seconds=0.2)
    archive = tmp_path / "mugs.zip"
    archive.write_bytes(zipped(side))
    assert (archive.stat().st_size > MAX_INLINE_BYTES) is (side == 320)
    given = (f"images_data_url=@{archive}", "trigger_word=MUG", "steps=100")
    ran = kilnhand("submit", "training.lora", *given, "--json", env=stack.environment)
    assert ran.status == 0, ran.err
    (request,) = twin.requests("fal-ai/flux-lora-fast-training")
    assert HTTP.get(url := request["input"]["images_data_url"]).content == archive.read_bytes()
    assert url.startswith(f"{twin.url}/cdn/") and url.endswith("_file.zip")


def test_local_weights_in_a_list_are_used(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin, tmp_path: Path
) -> None:
    twin.pace(seconds=0.2)
    weights = tmp_path / "mug.safetensors"
    weights.write_bytes(write_lora({"trigger_word": "HAT7"}, 7))
    given = ("prompt=HAT7", f'loras=[{{"url": "@{weights}", "weight": 0.5}}]')
    ran = kilnhand("submit", "generation.text_to_image", *given, "--json", env=stack.environment)
    assert ran.status == 0, ran.err
    (request,) = twin.requests("fal-ai/flux-lora")
    assert HTTP.get(request["input"]["loras"][0]["path"]).content == weights.read_bytes()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_refused_request_names_every_field_and_sends_nothing(
    form: list[str], kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    ran = kilnhand("submit", PICTURE, "prompt=", "num_images=9", "image_size=huge", *form, env=stack.environment)
    assert ran.status == 2
    for line in ("  prompt: ", "  num_images: ", "  image_size", "Nothing was sent."):
        assert line in ran.err
    assert twin.count == 0
    assert not form or json.loads(ran.out)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_failed_job_shows_its_message_and_returns_1(
    form: list[str], kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.script(endpoint="fal-ai/flux/schnell", call="submit", what="http", status=422, body={"detail": "not this one"})
    ran = kilnhand("submit", PICTURE, "prompt=a fox", *form, env=stack.environment)
    assert ran.status == 1, ran.out
    error = json.loads(ran.out)["error"] if form else {"code": "request_refused", "message": ran.err}
    assert error["code"] == "request_refused" and "not this one" in error["message"]
    assert form or ran.err.count("not this one") == 1, ran.err


@pytest.mark.parametrize("given", [["image=@nothere.jpg"], ["image=a", "image=b"], ["image"]])
def test_wrong_arguments_are_reported_as_json_too(
    given: list[str], kilnhand: Callable[..., Finished], stack: Stack
) -> None:
    ran = kilnhand("submit", "video.image_to_video", *given, "--json", env=stack.environment)
    error = json.loads(ran.out)["error"]
    assert (ran.status, error["code"]) == (2, "invalid_request")
    assert error["message"].startswith(("image", "'image'")) and error["message"] in ran.err


def test_for_an_unknown_task_all_tasks_are_listed(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    ran = kilnhand("submit", "generation.text_to_imag", "prompt=x", env=stack.environment)
    assert ran.status == 2
    assert "did you mean generation.text_to_image? the tasks are " in ran.err
    assert ", generation.text_to_image, " in ran.err and "video.extend" in ran.err


def test_a_job_can_be_sent_without_waiting_and_followed_later(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.pace(seconds=600)
    sent = kilnhand("submit", PICTURE, "prompt=a fox", "--no-wait", env=stack.environment)
    job_id = sent.out.strip()
    assert f"kilnhand status {job_id} --follow" in sent.err
    wait_until(lambda: twin.count == 1, "the job is at the provider")
    now = kilnhand("status", job_id, "--json", env=stack.environment)
    assert json.loads(now.out)["state"] in {"QUEUED", "IN_PROGRESS"}
    assert json.loads(now.out)["result"] is None
    shown = kilnhand("status", job_id, env=stack.environment)
    assert re.search(r"^asked +flux-schnell of fal", shown.out, re.MULTILINE) and "served" not in shown.out
    twin.finish()
    followed = kilnhand("status", job_id, "--follow", env=stack.environment)
    assert followed.status == 0, followed.err
    assert f"{stack.gateway_url}/files/" in followed.out
    after = kilnhand("status", job_id, env=stack.environment)
    assert "SUCCESS (completed)" in after.out and f"{stack.gateway_url}/files/" in after.out


def test_ctrl_c_while_waiting_leaves_the_job_running(
    running: Callable[..., RunningCommand], kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.pace(seconds=600)
    waiting = running("submit", PICTURE, "prompt=a fox", env=stack.environment)
    waiting.says("QUEUED")
    assert waiting.end(signal.SIGINT) == 130
    assert "The job continues" in waiting.text()
    twin.finish()
    follow_on = waiting.text().partition("kilnhand status ")[2].split()[0]
    assert kilnhand("status", follow_on, "--follow", env=stack.environment).status == 0


def test_a_failed_attempt_is_shown_while_another_follows(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.script(call="submit", what="http", status=429, seconds=1)
    ran = kilnhand("submit", PICTURE, "prompt=a fox", env=stack.environment)
    assert ran.status == 0, ran.err
    assert "QUEUED attempt 1 failed: fal: too many requests (HTTP 429)" in ran.err


def test_a_timeout_says_how_to_follow_the_job(kilnhand: Callable[..., Finished], stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=20)
    ran = kilnhand("submit", PICTURE, "prompt=a fox", "--timeout", "0.5", "--json", env=stack.environment)
    answer = json.loads(ran.out)
    assert (ran.status, answer["error"]["code"]) == (124, "timeout")
    for command in (f"kilnhand status {answer['job_id']} --follow", f"kilnhand why {answer['job_id']}"):
        assert command in answer["error"]["message"]


def test_an_unknown_id_is_an_error(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    ran = kilnhand("status", "nope", env=stack.environment)
    assert (ran.status, ran.out) == (1, "")
    assert "no job nope" in ran.err
    for command in ("status", "why"):
        answer = json.loads(kilnhand(command, "nope", "--json", env=stack.environment).out)
        assert answer["error"]["code"] == "unknown_job"


def test_without_redis_the_error_says_what_to_do(kilnhand: Callable[..., Finished]) -> None:
    nowhere = {"KILNHAND_REDIS_URL": "redis://:hunter22@127.0.0.1:1/0"}
    for ran in (kilnhand("submit", PICTURE, "prompt=x", env=nowhere), kilnhand("status", "some-id", env=nowhere)):
        assert ran.status == 1
        assert "Redis cannot be reached" in ran.err and "kilnhand up" in ran.err
        assert "hunter22" not in ran.err and "Traceback" not in ran.err
