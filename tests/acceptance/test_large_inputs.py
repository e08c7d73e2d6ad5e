"""Weights and archives that are ours reach a provider that cannot reach us: by key, by URL, from the command line."""

import base64
import hashlib
import io
import random
import zipfile
from typing import Any

import pytest
import redis
from celery import chain
from PIL import Image

from tasks.generation import text_to_image
from tasks.training import lora
from tests.acceptance.conftest import HTTP, Twin, point_producer_at
from tests.conftest import wait_until
from worker.cli.processes.stack import Stack
from worker.client import cancel
from worker.errors import InvalidRequestError, RequestRefusedError
from worker.jobs.job import Job, load_job

GENERATION = "fal-ai/flux-lora"
MANY = 50
ONE, TWO = {1, 3}, {2, 6}  # uploads, in calls: three where the twin has forgotten the token of a worker


@pytest.fixture
def uploads(twin: Twin) -> "Uploads":
    return Uploads(twin)


class Uploads:
    """Counts the twin's uploads: each uses up a fault that does nothing."""

    def __init__(self, twin: Twin) -> None:
        self._url = twin.url
        twin.script(call="upload", what="slow", seconds=0, times=MANY)

    @property
    def count(self) -> int:
        faults = HTTP.get(f"{self._url}/_twin/script").json()["script"]
        return int(MANY - sum(fault["times"] for fault in faults if fault["call"] == "upload"))


@pytest.fixture(scope="module")
def trained(_stack: Stack, _patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The weights of a training, in our store."""
    point_producer_at(_stack, _patch)
    Twin(_stack.twin_url).pace(seconds=0.2)
    training = lora.delay(images_data_url=_data_uri(zipped(48)), trigger_word="HAT7", steps=100)
    return dict(training.get(timeout=120)["weights"])


def zipped(side: int, pictures: int = 4) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(pictures):
            file = io.BytesIO()
            noise = random.Random(n).randbytes(side * side * 3)
            Image.frombytes("RGB", (side, side), noise).save(file, "PNG")
            archive.writestr(f"{n}.png", file.getvalue())
    return buffer.getvalue()


def _data_uri(data: bytes) -> str:
    return f"data:application/zip;base64,{base64.b64encode(data).decode()}"


def row(stack: Stack, job_id: str) -> Job:
    with redis.Redis.from_url(stack.redis_url) as client:
        return load_job(client.hget(f"kilnhand:job:{job_id}", "doc"))


def is_theirs(url: str, twin: Twin, file: dict[str, Any]) -> bool:
    """Whether the URL is one of the twin's own storage, and holds the whole file."""
    return url.startswith(f"{twin.url}/cdn/") and hashlib.sha256(HTTP.get(url).content).hexdigest() == file["sha256"]


def test_weights_of_ours_are_uploaded_once_whatever_becomes_of_the_first_attempts(
    stack: Stack, twin: Twin, trained: dict[str, Any], uploads: Uploads
) -> None:
    twin.pace(seconds=0.2)
    assert trained["url"].startswith(stack.gateway_url), "a gateway that fal could not reach"
    twin.script(endpoint=GENERATION, call="submit", what="http", status=429, times=2)
    twin.script(endpoint=GENERATION, what="error")
    sent = text_to_image.delay(prompt="a person with HAT7", loras=[{"url": trained["key"], "weight": 0.7}])
    result = sent.get(timeout=120)
    assert result["endpoint"] == GENERATION
    used = [request["input"]["loras"] for request in twin.requests(GENERATION)]
    assert len(used) == 2 and used[0] == used[1], "a run that failed, and the one after it"
    assert used[0][0]["scale"] == 0.7 and is_theirs(used[0][0]["path"], twin, trained)
    assert uploads.count in ONE
    assert len(row(stack, sent.id).attempts) == 4


def test_a_job_that_is_cancelled_while_its_weights_are_uploaded_is_never_submitted(
    twin: Twin, trained: dict[str, Any]
) -> None:
    twin.script(call="upload", what="slow", seconds=2, times=3)
    sent = text_to_image.delay(prompt="a person with HAT7", loras=[{"url": trained["key"]}])
    wait_until(lambda: any(fault["times"] < 3 for fault in script_of(twin)), "an upload begins")
    cancel(sent.id)
    wait_until(lambda: sent.state == "REVOKED", "the job is revoked")
    assert twin.count == 0


def script_of(twin: Twin) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = HTTP.get(f"{twin.url}/_twin/script").json()["script"]
    return found or [{"times": 0}]  # all used up


@pytest.mark.parametrize("how", ["lora_url by URL", "the result's own file", "twice in a list"])
def test_weights_of_ours_may_be_named_in_any_way(
    stack: Stack, twin: Twin, trained: dict[str, Any], uploads: Uploads, how: str
) -> None:
    named: dict[str, Any] = {
        "lora_url by URL": {"lora_url": trained["url"]},
        "the result's own file": {"lora_url": trained},
        "twice in a list": {"loras": [{"url": trained["key"]}, {"url": trained["key"], "weight": 0.1}]},
    }[how]
    twin.pace(seconds=0.2)
    text_to_image.delay(prompt="HAT7", **named).get(timeout=120)
    (request,) = twin.requests(GENERATION)
    assert all(is_theirs(each["path"], twin, trained) for each in request["input"]["loras"])
    assert uploads.count in ONE


def test_a_chain_hands_its_weights_over(stack: Stack, twin: Twin, uploads: Uploads) -> None:
    twin.pace(seconds=0.2)
    training = lora.s(images_data_url=_data_uri(zipped(48)), trigger_word="MUG")
    last = chain(training, text_to_image.s(prompt="MUG on a table")).apply_async()
    last.get(timeout=120)
    (request,) = twin.requests(GENERATION)
    assert is_theirs(request["input"]["loras"][0]["path"], twin, last.parent.get(timeout=120)["weights"])
    assert uploads.count in TWO, "the archive and the weights"


def test_a_public_url_goes_as_it_is(stack: Stack, twin: Twin, uploads: Uploads) -> None:
    twin.pace(seconds=0.1)
    url = "https://example.com/mug.safetensors"
    text_to_image.delay(prompt="a mug", lora_url=url).get(timeout=120)
    assert twin.requests(GENERATION)[0]["input"]["loras"][0]["path"] == url
    assert uploads.count == 0


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("lora", {"images_data_url": "{weights}"}, r"images_data_url: promised an archive \(zip, tar\.gz\), got "),
        ("picture", {"loras": [{"url": "jobs/none/weights-0.safetensors"}]}, r"loras\.0\.url: our store has no file "),
        ("picture", {"lora_url": "{config}"}, r"lora_url: promised weights \(safetensors\), got "),
        ("picture", {"lora_url": "{url}x"}, r"lora_url: .*sign"),
        ("picture", {"lora_url": "http://169.254.169.254/latest"}, r"lora_url: .*not (a )?public"),
        ("picture", {"lora_url": "data:;base64,AAAA"}, r"lora_url: "),
    ],
)
def test_what_is_no_such_file_ends_the_job_before_anything_is_sent(
    stack: Stack, twin: Twin, trained: dict[str, Any], task: str, given: dict[str, Any], message: str
) -> None:
    names = {"weights": trained["key"], "config": trained["key"].replace("weights-0.safetensors", "config-0.json")}
    filled = {
        name: value.format(**names, url=trained["url"]) if isinstance(value, str) else value
        for name, value in given.items()
    }
    before = twin.count
    with pytest.raises(RequestRefusedError, match=f"^{message}"):
        (lora if task == "lora" else text_to_image).delay(**filled, **({} if task == "lora" else {"prompt": "x"})).get(
            timeout=30
        )
    assert twin.count == before


@pytest.mark.parametrize("ref", ["file:///etc/passwd", "jobs/../../../etc/passwd", "/etc/passwd", "jobs/a/../../b"])
def test_a_reference_that_leads_out_of_the_store_is_refused_at_delay(stack: Stack, ref: str) -> None:
    for task, given in ((text_to_image, {"prompt": "x", "lora_url": ref}), (lora, {"images_data_url": ref})):
        with pytest.raises(InvalidRequestError, match=r"(lora_url|images_data_url): "):
            task.delay(**given)
