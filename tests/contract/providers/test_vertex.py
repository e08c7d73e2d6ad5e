"""What only Vertex AI has, over HTTP: try-on, video as a long operation, its fields and its credentials."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.genai import types
from pydantic import SecretStr

from config.keys.google import VERTEX_HOW_TO_SET, VertexAccess
from config.settings import GoogleSettings
from tests.contract.providers.conftest import Twin
from tests.contract.providers.google import (
    PRO,
    TRY_ON,
    VEO,
    colour_picture,
    look,
    opened,
    picture_call,
    sent,
    text_call,
)
from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    ProviderDisabledError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Ticket
from worker.providers.base import Call, CancelResult, Ended, LostSubmission, Reply, RunFailure, Running, SearchResult
from worker.providers.google.large_files import LARGE_BYTES, LargeFiles
from worker.providers.google.sdk import GoogleSdk
from worker.providers.google.vertex import Vertex, open_vertex
from worker.providers.google.video import _fetch

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORN = (colour_picture("red"), colour_picture("blue", (64, 48)))
FILM = Call(
    "job-1",
    VEO,
    {"prompt": "a kiln", "duration_s": 4, "aspect_ratio": "16:9", "seed": 1},
    files=(colour_picture("red"),),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _vertex(_twin: Twin) -> AsyncIterator[Vertex]:
    provider = await opened("vertex", _twin)
    assert isinstance(provider, Vertex)
    yield provider
    await provider.aclose()


@pytest.fixture
def vertex(_vertex: Vertex, twin: Twin) -> Vertex:
    twin.pace(seconds=0)
    return _vertex


async def ended(vertex: Vertex, ticket: Ticket) -> None:
    async with asyncio.timeout(60):
        while not isinstance(await vertex.poll(VEO, ticket), Ended):
            await asyncio.sleep(0.01)


async def test_try_on_puts_the_garment_on_the_person_in_a_region(vertex: Vertex, twin: Twin) -> None:
    reply = await vertex.submit(
        Call("job-1", TRY_ON, {"num_images": 2, "seed": 3, "output_format": "jpeg"}, files=WORN)
    )

    assert isinstance(reply, Reply) and reply.billed_units == 2
    assert [look(file) for file in reply.files] == [("JPEG", (96, 128))] * 2
    (record,) = sent(twin)
    assert record["input"]["parameters"]["safetySetting"] == "BLOCK_ONLY_HIGH"
    assert record["input"]["parameters"]["addWatermark"] is False and record["input"]["parameters"]["seed"] == 3


@pytest.mark.parametrize(
    ("fault", "cls", "kind"),
    [
        ({"what": "image_safety"}, ContentRefusedError, "rai_filtered"),
        ({"what": "no_image"}, BrokenPieceError, "no_image"),
    ],
)
async def test_a_filtered_try_on_is_a_failure(
    vertex: Vertex, twin: Twin, fault: Any, cls: type[ExternalServiceError], kind: str
) -> None:
    twin.script(call="run", times=1, **fault)
    outcome = await vertex.submit(Call("job-1", TRY_ON, {}, files=WORN))

    assert isinstance(outcome, RunFailure) and type(outcome.error) is cls and outcome.error.kind == kind


async def test_pictures_of_a_try_on_that_came_are_kept(vertex: Vertex, twin: Twin) -> None:
    body = {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "AQ=="}, {"raiFilteredReason": "No."}]}
    twin.script(call="submit", what="http", status=200, body=body, accepted=True)
    reply = await vertex.submit(Call("job-1", TRY_ON, {"num_images": 3}, files=WORN))

    assert isinstance(reply, Reply) and reply.files == (b"\x01",) and reply.billed_units == 1
    assert [type(error) for error in reply.missing] == [ContentRefusedError, BrokenPieceError]


async def test_large_files_of_a_try_on_arrive_unchanged_in_both_directions(vertex: Vertex, twin: Twin) -> None:
    noise, garment = colour_picture(None, (512, 512)), colour_picture(None, (400, 400))
    worn = await vertex.submit(Call("job-1", TRY_ON, {}, files=(noise, garment)))
    picture = os.urandom(1_000_000)
    body = {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": base64.b64encode(picture).decode()}]}
    twin.script(call="submit", what="http", status=200, body=body, accepted=True)
    reply = await vertex.submit(Call("job-1", TRY_ON, {}, files=(noise, garment)))

    assert len(garment.data) > LARGE_BYTES and isinstance(worn, Reply) and look(worn.files[0])[1] == (512, 512)
    assert isinstance(reply, Reply) and reply.files == (picture,)


@pytest.mark.parametrize("call", [Call("j", TRY_ON, {}, files=WORN), FILM], ids=["try-on", "video"])
@pytest.mark.parametrize(
    "fault",
    [
        {"what": "drop"},
        {"what": "garbage"},
        {"what": "nginx", "status": 503},
        {"what": "http", "status": 200, "body": {}, "accepted": True},
    ],
    ids=str,
)
async def test_a_post_with_a_lost_answer_is_never_repeated(vertex: Vertex, twin: Twin, call: Call, fault: Any) -> None:
    twin.script(call="submit", times=-1, **fault)
    with pytest.raises(SubmitUnknownError):
        await vertex.submit(call)
    assert twin.count == 1


async def test_another_process_polls_a_video_by_its_name(vertex: Vertex, twin: Twin) -> None:
    twin.pace(seconds=0.3)
    ticket = await vertex.submit(FILM)
    assert isinstance(ticket, Ticket) and "/locations/us-central1/" in ticket.request_id and not ticket.urls
    assert isinstance(await vertex.poll(VEO, ticket), Running)
    assert await vertex.cancel(VEO, ticket) is CancelResult.ASKED

    settings = GoogleSettings(google_base_url=f"{twin.url}/google", google_region="europe-west4")
    other = await open_vertex(settings)
    again = other.ticket_of(VEO, ticket.request_id)
    await ended(other, again)
    reply = await other.result(VEO, again)

    assert isinstance(reply, Reply) and reply.files[0][4:8] == b"ftyp" and reply.output == {"videos": 1}
    assert await other.cancel(VEO, again) is CancelResult.TOO_LATE
    assert await other.find(LostSubmission("a", 1, VEO, {}, 0.0)) == SearchResult()
    assert twin.count == 1
    asked = sent(twin)[0]["input"]
    assert asked["parameters"]["durationSeconds"] == 4 and "image" in asked["instances"][0]
    await other.aclose()


@pytest.mark.parametrize(
    ("fault", "cls", "kind"),
    [
        ({"what": "image_safety"}, ContentRefusedError, "rai_filtered"),
        ({"what": "no_image"}, BrokenPieceError, "no_video"),
        ({"what": "error", "status": 500}, ServiceUnavailableError, None),
        ({"what": "error", "status": 429}, RateLimitError, None),
        ({"what": "error", "status": 504}, ServiceUnavailableError, None),
        ({"what": "error", "status": 400, "body": {"code": 3, "message": "It violates Vertex AI's usage guidelines."}}, ContentRefusedError, None),
    ],
    ids=lambda row: f"{row['what']}-{row.get('status')}" if isinstance(row, dict) else "",
)  # fmt: skip
async def test_a_failed_video_gives_the_reason(
    vertex: Vertex, twin: Twin, fault: Any, cls: type[ExternalServiceError], kind: str | None
) -> None:
    twin.script(call="run", times=1, **fault)
    ticket = await vertex.submit(FILM)
    assert isinstance(ticket, Ticket)
    await ended(vertex, ticket)
    outcome = await vertex.result(VEO, ticket)

    assert isinstance(outcome, RunFailure) and type(outcome.error) is cls and outcome.error.kind == kind


@pytest.mark.parametrize(
    "fault",
    [{"what": "drop"}, {"what": "garbage"}, {"what": "nginx", "status": 404}, {"what": "http", "status": 504},
     {"what": "http", "status": 200, "body": {}}],
    ids=str,
)  # fmt: skip
async def test_a_failed_poll_says_nothing_about_the_run(vertex: Vertex, twin: Twin, fault: Any) -> None:
    ticket = await vertex.submit(FILM)
    assert isinstance(ticket, Ticket)
    twin.script(call="status", times=2, **fault)
    with pytest.raises(ServiceUnavailableError):
        await vertex.poll(VEO, ticket)
    with pytest.raises(ServiceUnavailableError):
        await vertex.result(VEO, ticket)
    await ended(vertex, ticket)


async def test_an_operation_that_google_does_not_know_is_not_found(vertex: Vertex) -> None:
    ticket = vertex.ticket_of(VEO, f"projects/local/locations/us-central1/publishers/google/models/{VEO}/operations/no")
    with pytest.raises(RequestRefusedError) as unknown:
        await vertex.poll(VEO, ticket)
    outcome = await vertex.result(VEO, ticket)

    assert unknown.value.kind == "not_found"
    assert isinstance(outcome, RunFailure) and outcome.error.kind == "not_found"


async def test_the_profile_and_the_fields_of_vertex_are_sent(vertex: Vertex, twin: Twin) -> None:
    reply = await vertex.submit(picture_call(output_format="jpeg"))

    assert isinstance(reply, Reply) and look(reply.files[0])[0] == "JPEG"
    (record,) = sent(twin)
    assert record["input"]["generationConfig"]["imageConfig"] == {
        "personGeneration": "ALLOW_ADULT",
        "imageOutputOptions": {"mimeType": "image/jpeg"},
    }
    thresholds = {
        item["category"].removeprefix("HARM_CATEGORY_"): item["threshold"] for item in record["input"]["safetySettings"]
    }
    assert thresholds.pop("SEXUALLY_EXPLICIT") == "BLOCK_NONE"
    assert thresholds == dict.fromkeys(("HARASSMENT", "HATE_SPEECH", "DANGEROUS_CONTENT"), "BLOCK_ONLY_HIGH")
    assert record["headers"]["x-server-timeout"] == "10"  # seconds, as set


async def test_the_default_profile_sends_no_settings(twin: Twin) -> None:
    plain = await open_vertex(GoogleSettings(google_base_url=f"{twin.url}/google", google_safety="default"))
    await plain.submit(picture_call())
    await plain.aclose()

    assert "safetySettings" not in sent(twin)[0]["input"]
    assert "imageConfig" not in sent(twin)[0]["input"]["generationConfig"]


@pytest.mark.parametrize("model", ["gemini-3-pro-image-preview", "imagen-4.0-generate-001", "veo-3.0-generate-001"])
async def test_a_retired_model_has_a_kind_of_its_own(vertex: Vertex, twin: Twin, model: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        await vertex.submit(Call("job-1", model, {"prompt": "a kiln"}))
    assert refused.value.kind == "model_retired" and twin.count == 0


class LocationSdk(GoogleSdk):
    """Returns an operation whose name is the location of the call."""

    async def call(self, use: Any, location: str | None = None, *, has_files: bool = False) -> Any:
        return types.GenerateVideosOperation.model_validate({"name": location}), LargeFiles()


async def test_an_operation_is_polled_in_the_region_of_its_name(_twin: Twin) -> None:
    sdk = LocationSdk("vertex", GoogleSettings(), VertexAccess("a test"), None)
    operation, _ = await _fetch(
        sdk, Ticket("projects/p/locations/europe-west4/publishers/google/models/m/operations/1")
    )

    assert operation.name == "europe-west4"


async def test_a_wrong_number_of_files_is_refused(vertex: Vertex, twin: Twin) -> None:
    for call in (Call("j", TRY_ON, {}, files=WORN[:1]), Call("j", VEO, {"prompt": "x"}, files=WORN)):
        with pytest.raises(RequestRefusedError, match=r"takes (two files|one file)"):
            await vertex.submit(call)
    assert twin.count == 0


def key_file(folder: Path, twin: Twin, **more: str) -> Path:
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    facts = {"type": "service_account", "project_id": "kilns", "private_key_id": "1", "private_key": private.decode(),
             "client_email": "kiln@kilns.example", "token_uri": f"{twin.url}/google/token"}  # fmt: skip
    (folder / "key.json").write_text(json.dumps(facts | more))
    return folder / "key.json"


async def test_a_service_account_signs_in_once_and_names_its_project(twin: Twin, tmp_path: Path) -> None:
    vertex = await opened("vertex", twin, access=VertexAccess("a test", file=key_file(tmp_path, twin)))
    assert isinstance(await vertex.submit(text_call()), Reply)
    twin.script(call="auth", what="http", status=500, times=-1)  # the token is cached
    assert isinstance(await vertex.submit(text_call()), Reply)
    ticket = await vertex.submit(FILM)
    await vertex.aclose()

    assert isinstance(ticket, Ticket) and ticket.request_id.startswith("projects/kilns/locations/us-central1/")


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, AuthenticationError),
        (401, {"error": "deleted_client"}, AuthenticationError),
    ],
)
async def test_a_refused_token_is_not_a_refused_request_and_nothing_is_sent(
    twin: Twin, tmp_path: Path, status: int, body: Any, cls: type[ExternalServiceError]
) -> None:
    vertex = await opened("vertex", twin, access=VertexAccess("a test", file=key_file(tmp_path, twin)))
    twin.script(call="auth", what="http", status=status, body=body, times=-1)
    with pytest.raises(cls, match="no access token"):
        await vertex.submit(text_call())
    await vertex.aclose()
    assert twin.count == 0


@pytest.mark.parametrize(
    "text", ["", "{", '{"type": "service_account"}', '{"type": "service_account", "private_key": "secret"}']
)
async def test_the_error_of_a_broken_key_file_names_its_variable(twin: Twin, tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_text(text)
    access = VertexAccess("GOOGLE_APPLICATION_CREDENTIALS", file=tmp_path / "key.json")
    vertex = await opened("vertex", twin, access=access)
    with pytest.raises(AuthenticationError, match="GOOGLE_APPLICATION_CREDENTIALS cannot be used") as refused:
        await vertex.submit(picture_call())
    await vertex.aclose()
    assert "secret" not in str(refused.value)


async def test_an_express_key_needs_no_project(twin: Twin) -> None:
    vertex = await opened("vertex", twin, access=VertexAccess("a test", key=SecretStr("AQ.key")))
    for call in (picture_call(), Call("job-1", TRY_ON, {}, files=WORN)):
        assert isinstance(await vertex.submit(call), Reply)
    await vertex.aclose()


async def test_opening_without_credentials_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderDisabledError) as disabled:
        await open_vertex(GoogleSettings())
    assert disabled.value.message == VERTEX_HOW_TO_SET


async def test_arguments_for_pictures_are_refused_by_a_text_model(vertex: Vertex) -> None:
    with pytest.raises(RequestRefusedError, match="aspect_ratio"):
        await vertex.submit(Call("job-1", "gemini-3.8-flash", {"prompt": "a kiln", "aspect_ratio": "1:1"}))
    assert isinstance(await vertex.submit(Call("job-1", PRO, {"prompt": "a kiln", "aspect_ratio": "1:1"})), Reply)
