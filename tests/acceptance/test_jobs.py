"""The main job and the two beside it, from enqueueing to a file that a stranger can fetch."""

import contextlib
import hashlib
import io
import itertools
import json
import time
import zipfile
from typing import Any

import av
import fal_client.client
import pytest
from celery import Celery, chain
from celery.result import AsyncResult
from PIL import Image

from config.shape import PRESETS
from tasks.generation import Lora, Pictures, TextToImage, text_to_image
from tasks.training import Weights, lora
from tasks.video import Video, image_to_video
from tests.acceptance.conftest import HTTP, Twin, states_of
from worker import client
from worker.cli.processes.stack import Stack
from worker.errors import RequestRefusedError
from worker.jobs.status import JobStatus
from worker.providers.fal.provider import point_sdk_at


def fetch(file: dict[str, Any]) -> bytes:
    answer = HTTP.get(file["url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == file["content_type"]
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    assert len(answer.content) == file["bytes"]
    return answer.content


def live_statuses(sent: AsyncResult) -> list[JobStatus]:
    """Every status that a poller sees until the job ends; state and meta are read at once."""
    found: list[JobStatus] = []
    deadline = time.monotonic() + 60
    while (meta := sent.backend.get_task_meta(sent.id, cache=False))["status"] not in {"SUCCESS", "FAILURE", "REVOKED"}:
        if meta["status"] != "PENDING":
            found.append(JobStatus.model_validate(meta["result"]))
        assert time.monotonic() < deadline, f"{sent.id} did not end; seen {[status.stage for status in found[-5:]]}"
    return found


def picture(file: dict[str, Any]) -> Image.Image:
    image = Image.open(io.BytesIO(fetch(file)))
    image.load()
    return image


def test_a_picture_is_made_and_every_state_tells_the_same_story(twin: Twin) -> None:
    twin.pace(seconds=1.5, queue_seconds=0.5)
    sent = text_to_image.delay(prompt="a red kiln", image_size="square", tenant="acme", labels={"order": "7"})
    metas = live_statuses(sent)
    result = Pictures.model_validate(sent.get(timeout=120))
    assert sent.state == "SUCCESS"
    assert {"QUEUED", "IN_PROGRESS"} == {meta.state for meta in metas}
    assert all((meta.job_id, meta.tenant, meta.labels) == (sent.id, "acme", {"order": "7"}) for meta in metas)
    said = [meta.progress for meta in metas if not meta.progress_estimated]
    assert all(before <= after for before, after in itertools.pairwise(said)), "what the logs say only grows here"
    assert any(meta.logs for meta in metas)
    assert (result.model, result.provider, result.endpoint) == ("flux-schnell", "fal", "fal-ai/flux/schnell")
    assert (result.tenant, result.labels, result.attempts) == ("acme", {"order": "7"}, 1)
    assert result.cost and result.cost.usd == 0.003 and not result.cost.estimated
    assert result.timings.total_s >= 1.5
    (image,) = result.images
    assert (image.width, image.height) == picture(image.model_dump()).size == (512, 512)
    (request,) = twin.requests()
    assert request["request_id"] == result.request_id
    assert request["input"]["prompt"] == "a red kiln"


def test_a_backend_that_has_only_celery_sends_by_name_and_reads_everything(bare: Celery, twin: Twin) -> None:
    twin.pace(seconds=5, queue_seconds=0.5)  # long enough to be seen while it runs
    sent = bare.send_task("generation.text_to_image", kwargs={"prompt": "a blue kiln", "seed": 7, "num_images": 2})
    assert states_of(sent)[-3:] == ["QUEUED", "IN_PROGRESS", "SUCCESS"]
    result = sent.get(timeout=120)
    assert result["seed"] == 7
    assert [picture(image).size for image in result["images"]] == [(1024, 768)] * 2
    assert twin.count == 1


def test_a_backend_of_the_server_before_keeps_its_names(bare: Celery, twin: Twin) -> None:
    twin.pace(seconds=0.1)
    first = bare.signature("GENERATION", kwargs={"prompt": "a red coat", "image_size": "landscape_16_9"})
    second = bare.signature("VIDEO_GENERATION", kwargs={"prompt": "it turns", "duration_s": 4})
    sent = chain(first.set(queue="generation"), second).apply_async()
    assert sent.get(timeout=120)["task"] == "video.image_to_video"
    told = client.old_status(sent.parent.id)
    assert (told.status, told.progress) == ("completed", 1.0)
    assert told.result and told.result["task"] == "generation.text_to_image" and told.result["images"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_its_size(preset: str, twin: Twin) -> None:
    twin.pace(seconds=0.1)
    result = text_to_image.delay(prompt="x", image_size=preset).get(timeout=120)
    assert picture(result["images"][0]).size == PRESETS[preset]


def test_models_that_are_sized_by_ratio_give_the_shape_asked_for(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    result = text_to_image.delay(prompt="x", model="nano-banana-2", image_size="portrait_16_9").get(timeout=120)
    width, height = picture(result["images"][0]).size
    assert width / height == pytest.approx(9 / 16, rel=0.04)


def test_an_endpoint_that_the_catalogue_does_not_know_is_passed_through(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    twin.platform(any_endpoint=True)
    request = TextToImage(prompt="x", model="someone/some-model/v3", extra={"mood": "calm"})
    result = text_to_image.delay(request).get(timeout=120)
    assert result["endpoint"] == "someone/some-model/v3"
    assert picture(result["images"][0]).format in {"JPEG", "PNG"}
    assert twin.requests()[0]["input"]["mood"] == "calm"


@pytest.fixture
def _sdk_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """fal-client is pointed at the twin by its module's constants: put them back."""
    for constant in ("RUN_URL_FORMAT", "QUEUE_URL_FORMAT", "REALTIME_URL_FORMAT", "REST_URL", "CDN_URL"):
        monkeypatch.setattr(fal_client.client, constant, getattr(fal_client.client, constant))


def dataset(stack: Stack, name: str) -> str:
    """A zip of six pictures in the twin's storage, as the official client would put it there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(6):
            file = io.BytesIO()
            Image.new("RGB", (64, 64), (40 * n, 90, 120)).save(file, "PNG")
            archive.writestr(f"{name}-{n}.png", file.getvalue())
    point_sdk_at(stack.twin_url)
    client = fal_client.SyncClient(key="id:secret")
    with contextlib.closing(client._client):
        return client.upload(buffer.getvalue(), "application/zip", f"{name}.zip")


@pytest.mark.usefixtures("_sdk_as_it_was")
def test_a_lora_is_trained_and_used_at_once(stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=0.3, endpoints={"fal-ai/flux-lora-fast-training": 10})
    training = lora.delay(images_data_url=dataset(stack, "hat"), trigger_word="HAT7", steps=200)
    metas = live_statuses(training)
    trained = Weights.model_validate(training.get(timeout=120))
    assert any(0 < meta.progress < 1 and not meta.progress_estimated for meta in metas), "progress comes from the logs"
    weights = fetch(trained.weights.model_dump())
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert header["__metadata__"]["trigger_word"] == "HAT7"
    assert isinstance(json.loads(fetch(trained.config.model_dump())), dict)

    loras = [Lora(url=trained.weights.url, role="product", weight=0.7)]
    result = text_to_image.delay(prompt="a person with HAT7", loras=loras, image_size="square").get(timeout=120)
    assert (result["model"], result["endpoint"]) == ("flux-lora", "fal-ai/flux-lora")
    assert picture(result["images"][0]).size == (512, 512)
    used = twin.requests("fal-ai/flux-lora")[0]["input"]["loras"]
    assert used[0]["scale"] == 0.7
    assert used[0]["path"].startswith(f"{twin.url}/cdn/"), "fal could not reach the gateway of this machine"
    assert HTTP.get(used[0]["path"]).content == weights


def test_a_picture_becomes_a_video(twin: Twin) -> None:
    twin.pace(seconds=0.3)
    still = text_to_image.delay(prompt="a kiln", image_size="landscape_16_9").get(timeout=120)
    sent = image_to_video.delay(image=still["images"][0]["url"], prompt="it glows", duration_s=4, aspect_ratio="16:9")
    video = Video.model_validate(sent.get(timeout=120)).video
    with av.open(io.BytesIO(fetch(video.model_dump()))) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
    assert frames > 10
    assert video.duration_s and 3 < video.duration_s < 5
    assert video.width and video.height and video.width / video.height == pytest.approx(16 / 9, rel=0.04)


def test_a_file_of_ours_is_named_by_its_key_and_one_inside_the_network_by_nothing(twin: Twin) -> None:
    twin.pace(seconds=0.2)
    key = text_to_image.delay(prompt="a kiln", image_size="landscape_16_9").get(timeout=120)["images"][0]["key"]
    assert image_to_video.delay(image=key, prompt="it glows", duration_s=4).get(timeout=120)["video"]["bytes"] > 1000
    with pytest.raises(RequestRefusedError, match=r"image: .* is not (a )?public"):
        image_to_video.delay(image="http://169.254.169.254/latest/meta-data", prompt="x", duration_s=4).get(timeout=120)
    with pytest.raises(RequestRefusedError, match="no file"):
        image_to_video.delay(image=key.replace("images-0", "images-7"), prompt="x", duration_s=4).get(timeout=120)
    assert len(twin.requests("fal-ai/veo3.1/fast/image-to-video")) == 1


def test_a_file_needs_its_signature(twin: Twin) -> None:
    twin.pace(seconds=0.1)
    url = text_to_image.delay(prompt="x").get(timeout=120)["images"][0]["url"]
    assert HTTP.get(url.split("?")[0]).status_code == 403
    assert HTTP.get(url[:-3] + "AAA").status_code == 403
    assert HTTP.get(url).status_code == 200
