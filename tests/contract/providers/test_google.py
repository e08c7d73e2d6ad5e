"""What Vertex AI and the Gemini API have in common, over HTTP: one POST per call, and no success without a result."""

import asyncio
import base64
import hashlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from config.keys.google import GeminiAccess, VertexAccess
from tests.contract.providers.conftest import Twin
from tests.contract.providers.google import (
    CAPTION,
    FLASH,
    PRO,
    colour_picture,
    look,
    opened,
    picture_call,
    sent,
    text_call,
)
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.files.memory_budget import MB, MemoryBudget
from worker.providers.base import Call, LostSubmission, Reply, RunFailure, SearchResult, Tokens
from worker.providers.google.gemini import Gemini
from worker.providers.google.vertex import Vertex

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = ("vertex", "gemini")
both = pytest.mark.parametrize("name", NAMES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _opened(_twin: Twin) -> AsyncIterator[dict[str, Vertex | Gemini]]:
    """Both providers, opened once: building a client takes 0.1 s."""
    found = {name: await opened(name, _twin) for name in NAMES}
    yield found
    for provider in found.values():
        await provider.aclose()


@pytest.fixture(params=NAMES)
def google(request: pytest.FixtureRequest, _opened: dict[str, Any], twin: Twin) -> Vertex | Gemini:
    twin.pace(seconds=0)
    provider: Vertex | Gemini = _opened[request.param]
    return provider


async def test_pictures_come_inside_the_answer_with_text_version_and_units(google: Any, twin: Twin) -> None:
    reply = await google.submit(picture_call(aspect_ratio="3:4", resolution="1K", seed=7, num_images=2))

    assert isinstance(reply, Reply)
    assert [look(file) for file in reply.files] == [("PNG", (896, 1200))] * 2
    assert reply.files[0] != reply.files[1]
    assert (reply.output["images"], reply.billed_units, reply.version, reply.missing) == (2, 2.0, PRO, ())
    assert "a kiln" in reply.output["text"]
    assert sorted(item["input"]["generationConfig"]["seed"] for item in sent(twin)) == [7, 8]


async def test_files_are_sent_in_the_order_in_which_the_prompt_numbers_them(google: Any, twin: Twin) -> None:
    reply = await google.submit(
        Call("job-1", PRO, {"prompt": "swap"}, files=(colour_picture("red"), colour_picture("blue", (64, 48))))
    )

    assert isinstance(reply, Reply) and look(reply.files[0])[1] == (896, 1200)
    assert "Picture 1: red, 96x128" in reply.output["text"] and "Picture 2: blue, 64x48" in reply.output["text"]


async def test_text_and_json_come_with_tokens_and_version(google: Any, twin: Twin) -> None:
    text = await google.submit(text_call(colour_picture("red"), system="be brief"))
    read = await google.submit(text_call(colour_picture("red"), schema=CAPTION, max_tokens=5))

    assert isinstance(text, Reply) and text.output["text"].startswith("Picture 1: red, 96x128")
    assert isinstance(read, Reply) and read.output["json"]["caption"].startswith("Picture 1: red")
    assert read.version == FLASH and isinstance(read.tokens, Tokens) and read.tokens.read > 0
    first, second = (item["input"] for item in sent(twin))
    assert first["systemInstruction"]["parts"][0]["text"] == "be brief"
    assert second["generationConfig"]["maxOutputTokens"] == 1024
    assert second["generationConfig"]["responseJsonSchema"] == CAPTION
    usage = sent(twin)[1]["output"]["usageMetadata"]
    assert read.tokens.wrote == usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]


AMBIGUOUS: list[dict[str, Any]] = [
    {"what": "drop"},
    {"what": "truncated"},
    {"what": "garbage"},
    {"what": "nginx", "status": 502},
    {"what": "nginx", "status": 503},
    {"what": "nginx", "status": 504},
    {"what": "http", "status": 408, "accepted": True},
    {"what": "http", "status": 409, "accepted": True},
    {"what": "http", "status": 502, "accepted": True},
    {"what": "http", "status": 504, "accepted": True},
    {"what": "http", "status": 503, "accepted": True, "body": "upstream connect error"},
    {"what": "http", "status": 200, "accepted": True, "body": []},
    {"what": "http", "status": 200, "accepted": True, "body": {}},
    {"what": "http", "status": 302, "accepted": True, "headers": {"Location": "/google/elsewhere"}},
]


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault['what']}-{fault.get('status', '')}")
async def test_a_post_with_a_lost_answer_is_never_repeated(google: Any, twin: Twin, fault: Any) -> None:
    twin.script(call="submit", provider="google", times=-1, **fault)
    with pytest.raises(SubmitUnknownError):
        await google.submit(text_call() if fault["what"] != "drop" else picture_call())
    assert twin.count == 1


async def test_a_kept_connection_that_is_dropped_does_not_repeat_the_call(google: Any, twin: Twin) -> None:
    await google.submit(text_call())
    twin.script(call="submit", provider="google", times=-1, what="drop")
    with pytest.raises(SubmitUnknownError):
        await google.submit(text_call())
    assert twin.count == 2


@both
async def test_a_reset_after_the_request_was_read_does_not_repeat_the_post(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[bytes] = []

        def serve() -> None:
            server.settimeout(5)
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection.recv(65536))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        google = await opened(name, Twin(f"http://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(SubmitUnknownError):
            await google.submit(text_call())
        await google.aclose()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert len(taken) == 1 and taken[0].startswith(b"POST ")


QUOTA = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
NO_BILLING = {"error": {"code": 403, "message": "This API method requires billing to be enabled.", "status": "PERMISSION_DENIED",
                        "details": [{"reason": "BILLING_DISABLED", "domain": "googleapis.com"}]}}  # fmt: skip
REFUSED: list[tuple[dict[str, Any], type[ExternalServiceError], str | None, float | None]] = [
    ({"status": 429, "seconds": 7}, RateLimitError, "RESOURCE_EXHAUSTED", 7),
    ({"status": 429, "body": "slow down", "headers": {"Retry-After": "9"}}, RateLimitError, None, 9),
    ({"status": 500}, ServiceUnavailableError, "INTERNAL", None),
    ({"status": 503}, ServiceUnavailableError, "UNAVAILABLE", None),
    ({"status": 401}, AuthenticationError, "UNAUTHENTICATED", None),
    ({"status": 403}, AuthenticationError, "PERMISSION_DENIED", None),
    ({"status": 403, "body": NO_BILLING}, AccountLockedError, "BILLING_DISABLED", None),
    ({"status": 400}, RequestRefusedError, "INVALID_ARGUMENT", None),
    ({"status": 404}, RequestRefusedError, "model_retired", None),
]


@pytest.mark.parametrize(("fault", "cls", "kind", "pause"), REFUSED, ids=[str(row[0]["status"]) for row in REFUSED])
async def test_an_error_of_google_raises_our_error_after_one_post(
    google: Any, twin: Twin, fault: dict[str, Any], cls: type[ExternalServiceError], kind: str, pause: float
) -> None:
    twin.script(call="submit", provider="google", what="http", times=1, **fault)
    with pytest.raises(cls) as refused:
        await google.submit(text_call())
    assert type(refused.value) is cls
    assert (refused.value.kind, refused.value.retry_after_s) == (kind, pause)
    assert (refused.value.provider, refused.value.status) == (google.name, fault["status"])
    assert twin.count == 0


EMPTY: list[tuple[dict[str, Any], type[ExternalServiceError], str]] = [
    ({"what": "blocked"}, ContentRefusedError, "PROHIBITED_CONTENT"),
    ({"what": "blocked", "body": "JAILBREAK"}, ContentRefusedError, "JAILBREAK"),
    *(
        ({"what": "image_safety", "body": reason}, ContentRefusedError, reason)
        for reason in ("IMAGE_SAFETY", "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_PROHIBITED_CONTENT",
                       "IMAGE_RECITATION", "RECITATION", "MODEL_ARMOR")
    ),
    *(
        ({"what": "image_safety", "body": reason}, BrokenPieceError, "no_image")
        for reason in ("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE", "STOP", "A_WORD_OF_TOMORROW")
    ),
    ({"what": "image_safety", "body": "PUP_LIMITED_DISABLED"}, AccountLockedError, "PUP_LIMITED_DISABLED"),
    ({"what": "image_safety", "body": "CONTINUATION"}, RequestRefusedError, "max_tokens"),
    ({"what": "no_image"}, BrokenPieceError, "no_image"),
    ({"what": "text_only", "body": "I would rather talk. " * 40}, BrokenPieceError, "no_image"),
    ({"what": "max_tokens"}, RequestRefusedError, "max_tokens"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:A_WORD_OF_TOMORROW:UserWarning")
@pytest.mark.parametrize(("fault", "cls", "kind"), EMPTY, ids=lambda row: row.get("body", row["what"])[:24] if isinstance(row, dict) else "")  # fmt: skip
async def test_a_200_without_a_picture_is_a_failure(
    google: Any, twin: Twin, fault: dict[str, Any], cls: type[ExternalServiceError], kind: str
) -> None:
    twin.script(call="run", provider="google", times=-1, **fault)
    outcome = await google.submit(picture_call())

    assert isinstance(outcome, RunFailure) and type(outcome.error) is cls
    assert (outcome.error.kind, outcome.error.provider) == (kind, google.name)
    assert len(outcome.error.message) < 360
    if fault["what"] == "text_only":
        assert "I would rather talk." in outcome.error.message
    assert outcome.tokens and outcome.tokens.read > 0, "what was read is billed all the same"
    assert twin.count == 1


THINKING = {"text": "hm", "thought": True}


def answer(*parts: dict[str, Any], reason: str = "STOP") -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": [*parts]}, "finishReason": reason}],
        "usageMetadata": {},
    }


def inline(data: str, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


async def test_the_last_picture_counts_and_those_of_thoughts_do_not(google: Any, twin: Twin) -> None:
    body = answer(inline("AQ==", thought=True), inline("Ag=="), inline("Aw=="), THINKING)
    twin.script(call="submit", what="http", status=200, body=body, accepted=True)
    reply = await google.submit(picture_call())
    twin.script(call="submit", what="http", status=200, body=answer(inline("AQ==", thought=True)), accepted=True)
    outcome = await google.submit(picture_call())

    assert isinstance(reply, Reply) and reply.files == (b"\x03",)
    assert isinstance(outcome, RunFailure) and outcome.error.kind == "no_image"


async def test_large_files_arrive_unchanged_in_both_directions(google: Any, twin: Twin) -> None:
    noise = colour_picture(None, (512, 512))
    edited = await google.submit(Call("job-1", PRO, {"prompt": "keep"}, files=(colour_picture("red"), noise)))
    picture = os.urandom(1_000_000)
    body = answer({"text": "here"}, inline(base64.b64encode(picture).decode()))
    twin.script(call="submit", what="http", status=200, body=body, accepted=True)
    reply = await google.submit(picture_call())

    digest = hashlib.sha256(noise.data).hexdigest()[:8]
    assert len(noise.data) > 500_000 and isinstance(edited, Reply) and f"512x512, {digest}" in edited.output["text"]
    assert isinstance(reply, Reply) and reply.files == (picture,)


async def test_a_cut_answer_is_not_continued_by_the_sdk(google: Any, twin: Twin) -> None:
    cut = answer({"text": "The kiln"}, reason="CONTINUATION")
    cut["candidates"][0]["continuationToken"] = "bW9yZQ=="
    twin.script(call="submit", what="http", status=200, body=cut, accepted=True, times=2)
    for call in (text_call(), picture_call()):
        outcome = await google.submit(call)
        assert isinstance(outcome, RunFailure) and outcome.error.kind == "max_tokens"
    assert twin.count == 2


async def test_text_that_is_cut_short_or_not_json_is_a_failure(google: Any, twin: Twin) -> None:
    twin.script(call="run", what="max_tokens", times=1)
    cut = await google.submit(text_call(colour_picture("red"), schema=CAPTION))
    used = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}
    no_json = answer({"text": '{"caption'}) | {"usageMetadata": used}
    twin.script(call="submit", what="http", status=200, body=no_json, accepted=True)
    bad = await google.submit(text_call(schema=CAPTION))
    twin.script(call="run", what="blocked", times=1)
    blocked = await google.submit(text_call())

    assert isinstance(cut, RunFailure) and type(cut.error) is RequestRefusedError and cut.error.kind == "max_tokens"
    assert isinstance(bad, RunFailure) and type(bad.error) is BrokenPieceError and bad.error.kind == "bad_json"
    assert isinstance(blocked, RunFailure) and type(blocked.error) is ContentRefusedError
    cut_units, _, blocked_units = (request["billed"]["units"] for request in sent(twin))
    assert cut.tokens and cut.tokens.read + cut.tokens.wrote == cut_units
    assert blocked.tokens and (blocked.tokens.read, blocked.tokens.wrote) == (blocked_units, 0)
    assert bad.tokens == Tokens(9, 5), "thoughts are written"


async def test_pictures_that_came_are_kept_when_others_fail(google: Any, twin: Twin) -> None:
    twin.script(call="run", what="image_safety", times=1)
    twin.script(call="submit", what="http", status=429, times=1)
    reply = await google.submit(picture_call(num_images=4))

    assert isinstance(reply, Reply) and len(reply.files) == reply.output["images"] == reply.billed_units == 2
    assert {type(error) for error in reply.missing} == {ContentRefusedError, RateLimitError}


async def test_without_any_picture_an_unknown_call_is_raised_first(google: Any, twin: Twin) -> None:
    twin.script(call="submit", what="http", status=429, times=1)
    twin.script(call="submit", what="drop", times=1)
    twin.script(call="run", what="no_image", times=-1)
    with pytest.raises(SubmitUnknownError):
        await google.submit(picture_call(num_images=3))
    twin.script(call="submit", what="http", status=429, times=1)
    one_ran = await google.submit(picture_call(num_images=2))
    twin.script(call="submit", what="http", status=429, times=-1)
    with pytest.raises(RateLimitError):
        await google.submit(picture_call(num_images=2))

    assert isinstance(one_ran, RunFailure) and one_ran.error.kind == "no_image"


async def test_the_tokens_of_failed_pictures_are_added_up(google: Any, twin: Twin) -> None:
    twin.script(call="run", what="no_image", times=-1)
    one, two = [await google.submit(picture_call(num_images=number)) for number in (1, 2)]

    assert one.tokens and two.tokens == one.tokens + one.tokens


async def test_a_seed_is_taken_modulo_googles_range(google: Any, twin: Twin) -> None:
    await google.submit(picture_call(seed=2**31 + 4))

    assert sent(twin)[0]["input"]["generationConfig"]["seed"] == 4


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (picture_call(resolution="8K"), "resolution"),
        (picture_call(loras=["x"]), "loras"),
        (picture_call(prompt=""), "prompt"),
        (text_call(schema="no"), "schema"),
    ],
)
async def test_invalid_arguments_are_refused_by_name(google: Any, twin: Twin, call: Call, field: str) -> None:
    with pytest.raises(RequestRefusedError, match=f"{field}: "):
        await google.submit(call)
    assert twin.count == 0


async def test_an_error_of_the_sdk_before_sending_is_a_refused_request(google: Any, twin: Twin) -> None:
    with pytest.raises(RequestRefusedError, match="invalid model"):
        await google.submit(Call("job-1", "gemini..flash", {"prompt": "x"}))
    assert twin.count == 0


@both
async def test_a_refused_connection_means_that_nothing_was_sent(name: str) -> None:
    google = await opened(name, Twin("http://127.0.0.1:1"))
    with pytest.raises(ServiceUnavailableError):
        await google.submit(picture_call(num_images=2))
    await google.aclose()


@pytest.mark.parametrize(("name", "access"), [("vertex", VertexAccess), ("gemini", GeminiAccess)])
async def test_a_bad_key_is_an_authentication_error_that_does_not_show_it(name: str, access: Any, twin: Twin) -> None:
    google = await opened(name, twin, access=access("a test", key=SecretStr("bad-key-of-nobody")))
    with pytest.raises(AuthenticationError) as refused:
        await google.submit(text_call())
    assert refused.value.kind == "API_KEY_INVALID" and "of-nobody" not in f"{refused.value!r} {google!r} {vars(google)}"
    await google.aclose()


@both
async def test_a_timeout_is_unknown_and_with_little_memory_pictures_are_made_one_at_a_time(
    name: str, twin: Twin
) -> None:
    google = await opened(name, twin, timeout_s=0.3, memory=MemoryBudget(16 * MB))  # one picture of 1K at a time
    twin.script(call="submit", provider="google", times=2, what="hang", seconds=3)
    with pytest.raises(SubmitUnknownError):
        await google.submit(text_call())
    task = asyncio.create_task(google.submit(picture_call(num_images=3)))
    async with asyncio.timeout(60):
        while twin.count < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    twin.pace(seconds=0)
    async with asyncio.timeout(60):
        assert isinstance(await google.submit(text_call()), Reply)
    await google.aclose()

    assert twin.count == 3  # two of the three pictures waited, and were never sent


async def test_there_is_no_list_of_requests(google: Any) -> None:
    assert await google.find(LostSubmission("a", 1, PRO, {"prompt": "a kiln"}, 0.0)) == SearchResult()
