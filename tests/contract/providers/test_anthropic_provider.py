"""Anthropic's provider through the official SDK, over HTTP: answers, refusals, and exactly one POST per call."""

import asyncio
import io
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import httpx2
import pytest
from PIL import Image

from config.settings import AnthropicSettings
from tests.contract.providers.conftest import Twin as Shared
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    InternalError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.files.media import Media
from worker.jobs.job import Ticket
from worker.providers.anthropic.guard import AnthropicGuard
from worker.providers.anthropic.provider import Anthropic, open_anthropic
from worker.providers.base import Call, CancelResult, LostSubmission, Reply, RunFailure, Running, SearchResult, Tokens

HAIKU = "claude-haiku-5-5"
SCHEMA = {
    "type": "object",
    "properties": {"colours": {"type": "array", "items": {"type": "string"}}, "width": {"type": "integer"}},
    "required": ["colours", "width"],
    "additionalProperties": False,
}
CALL = Call("job-1", HAIKU, {"prompt": "What is this?"})


class Twin:
    """The twin's control calls over one connection."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url, self._http = url, http
        self._http.post("/_twin/reset")
        self._http.post("/_twin/pace", json={"seconds": 0.01})

    def script(self, **fault: Any) -> None:
        answer = self._http.post("/_twin/script", json=fault)
        assert answer.status_code == 200, answer.text

    @property
    def count(self) -> int:
        return int(self._http.get("/_twin/requests", params={"count": 1}).json()["count"])

    @property
    def sent(self) -> dict[str, Any]:
        """The body of its only request."""
        return dict(self._record["input"])

    @property
    def billed(self) -> float:
        """The tokens of its only request."""
        return float(self._record["billed"]["units"])

    @property
    def _record(self) -> dict[str, Any]:
        (record,) = self._http.get("/_twin/requests").json()["requests"]
        return dict(record)


@pytest.fixture(scope="module")
def _control(_twin: Shared) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=_twin.url, verify=False, trust_env=False) as client:
        yield client


@pytest.fixture
def twin(_control: httpx.Client) -> Twin:
    return Twin(str(_control.base_url).rstrip("/"), _control)


def picture(colour: Any, size: tuple[int, int] = (64, 48), kind: str = "png", **more: Any) -> Media:
    spool = io.BytesIO()
    Image.new("RGB", size, colour).save(spool, kind, **more)
    return Media(spool.getvalue(), f"image/{kind}")


async def opened(url: str, key: str = "sk-ant", timeout_s: float = 10.0) -> Anthropic:
    settings = AnthropicSettings(anthropic_base_url=url, anthropic_timeout_s=timeout_s, anthropic_api_key=key)
    return await open_anthropic(settings)


@pytest.fixture
async def claude(twin: Twin) -> AsyncIterator[Anthropic]:
    provider = await opened(f"{twin.url}/anthropic")
    yield provider
    await provider.aclose()


async def test_text_comes_with_its_token_counts(claude: Anthropic, twin: Twin) -> None:
    reply = await claude.submit(replace(CALL, arguments={**CALL.arguments, "system": "be brief", "max_tokens": 99}))

    assert isinstance(reply, Reply) and isinstance(reply.output["text"], str) and reply.output["text"]
    assert reply.version == HAIKU
    assert reply.tokens is not None and reply.tokens.read > 0 and reply.tokens.wrote > 0
    body = twin.sent
    assert (body["system"], body["max_tokens"]) == ("be brief", 99)


async def test_pictures_are_sent_first_in_order_each_with_its_number(claude: Anthropic, twin: Twin) -> None:
    files = (picture("red"), picture("blue", kind="jpeg"), picture("green", kind="webp", lossless=True))
    reply = await claude.submit(replace(CALL, files=files))

    assert isinstance(reply, Reply)
    assert [word in reply.output["text"] for word in ("Picture 1: red", "Picture 2: blue", "Picture 3: green")] == [
        True
    ] * 3
    content = twin.sent["messages"][0]["content"]
    assert [block.get("text", block["type"]) for block in content] == [
        "Image 1:", "image", "Image 2:", "image", "Image 3:", "image", "What is this?",
    ]  # fmt: skip


async def test_a_call_with_a_schema_returns_parsed_json(claude: Anthropic) -> None:
    call = replace(CALL, arguments={"prompt": "x", "schema": SCHEMA}, files=(picture("red"), picture("blue")))
    reply = await claude.submit(call)

    assert isinstance(reply, Reply) and reply.output == {"json": {"colours": ["red", "blue"], "width": 64}}


async def test_extra_arguments_are_sent_unchanged(claude: Anthropic, twin: Twin) -> None:
    extra = {"output_config": {"effort": "low"}, "stop_sequences": ["END"]}
    assert isinstance(await claude.submit(replace(CALL, arguments={"prompt": "x", "schema": SCHEMA, **extra})), Reply)

    body = twin.sent
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}
    assert body["stop_sequences"] == ["END"] and not {"prompt", "schema"} & body.keys()


AMBIGUOUS: list[dict[str, Any]] = [
    {"what": "drop"},
    {"what": "truncated"},
    {"what": "hang", "seconds": 3},
    {"what": "garbage"},
    {"what": "nginx", "status": 502},
    {"what": "nginx", "status": 503},
    {"what": "nginx", "status": 504},
    {"what": "nginx", "status": 408},
    {"what": "nginx", "status": 409},
    {"what": "nginx", "status": 529},
    {"what": "http", "status": 200, "body": {"hello": "wifi"}, "accepted": True},
    {"what": "http", "status": 200, "body": [1], "accepted": True},
    {"what": "http", "status": 307, "headers": {"location": "/anthropic/v1/messages"}, "accepted": True},
]


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault['what']}-{fault.get('status', '')}")
async def test_a_post_with_a_lost_answer_is_never_repeated(twin: Twin, fault: dict[str, Any]) -> None:
    claude = await opened(f"{twin.url}/anthropic", timeout_s=2.0)
    assert isinstance(
        await claude.submit(CALL), Reply
    )  # opens the connection; on a reused one, transports tend to retry
    twin.script(endpoint="*", call="submit", times=1, **fault)
    with pytest.raises(SubmitUnknownError) as lost:
        await claude.submit(CALL)
    await claude.aclose()

    assert lost.value.provider == "anthropic" and "sk-ant" not in str(lost.value)
    assert twin.count == 2


OWN_WORD: list[tuple[dict[str, Any], type[ExternalServiceError], str]] = [
    ({"status": 429, "seconds": 7}, RateLimitError, "rate_limit_error"),
    ({"status": 529, "seconds": 3}, ServiceUnavailableError, "overloaded_error"),
    ({"status": 500}, ServiceUnavailableError, "api_error"),
    ({"status": 503}, ServiceUnavailableError, "api_error"),
    ({"status": 504}, ServiceUnavailableError, "timeout_error"),
    ({"status": 408}, ServiceUnavailableError, "api_error"),
    ({"status": 409}, ServiceUnavailableError, "api_error"),
    ({"status": 402}, AccountLockedError, "billing_error"),
    ({"status": 403}, AuthenticationError, "permission_error"),
    ({"status": 413}, RequestRefusedError, "request_too_large"),
    ({"status": 422}, RequestRefusedError, "api_error"),
]


@pytest.mark.parametrize(("fault", "cls", "kind"), OWN_WORD, ids=[str(row[0]["status"]) for row in OWN_WORD])
async def test_an_error_of_anthropic_raises_our_error_after_one_post(
    claude: Anthropic, twin: Twin, fault: dict[str, Any], cls: type[ExternalServiceError], kind: str
) -> None:
    twin.script(endpoint="*", call="submit", times=1, what="http", accepted=True, **fault)
    with pytest.raises(ExternalServiceError) as refused:
        await claude.submit(CALL)

    assert (type(refused.value), refused.value.kind) == (cls, kind)
    assert refused.value.retry_after_s == fault.get("seconds")
    assert twin.count == 1


async def test_an_answer_that_is_blocked_for_its_content_may_have_been_billed(claude: Anthropic, twin: Twin) -> None:
    text = "Output blocked by content filtering policy"
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
    twin.script(endpoint="*", call="submit", times=1, what="http", accepted=True, status=400, body=body)

    refused = await claude.submit(CALL)

    assert isinstance(refused, RunFailure) and not refused.is_free
    assert type(refused.error) is ContentRefusedError and text in refused.error.message


@pytest.mark.parametrize(("key", "cls"), [("bad-key", AuthenticationError), ("locked-key", AccountLockedError)])
async def test_a_bad_key_and_a_locked_account_are_different_errors(twin: Twin, key: str, cls: type[Exception]) -> None:
    claude = await opened(f"{twin.url}/anthropic", key=key)
    with pytest.raises(cls) as refused:
        await claude.submit(CALL)
    await claude.aclose()

    assert type(refused.value) is cls and key not in str(refused.value)


async def test_a_retired_model_has_a_kind_of_its_own(claude: Anthropic) -> None:
    with pytest.raises(RequestRefusedError, match="claude-2") as refused:
        await claude.submit(replace(CALL, endpoint="claude-2"))

    assert (refused.value.kind, refused.value.status) == ("model_retired", 404)


async def test_a_schema_that_the_vendor_refuses_is_a_refused_request(claude: Anthropic) -> None:
    with pytest.raises(RequestRefusedError, match="additionalProperties"):
        await claude.submit(replace(CALL, arguments={"prompt": "x", "schema": {"type": "object", "properties": {}}}))


STOPPED: list[tuple[dict[str, Any], dict[str, Any], type[ExternalServiceError], str]] = [
    ({"what": "blocked", "body": "bio"}, {}, ContentRefusedError, "bio"),
    ({"what": "max_tokens"}, {}, RequestRefusedError, "max_tokens"),
    ({"what": "max_tokens"}, {"schema": SCHEMA}, RequestRefusedError, "max_tokens"),
]


@pytest.mark.parametrize(("fault", "more", "cls", "kind"), STOPPED, ids=range(len(STOPPED)))
async def test_a_200_without_a_complete_answer_is_a_failure(
    claude: Anthropic, twin: Twin, fault: dict[str, Any], more: dict[str, Any], cls: type[Exception], kind: str
) -> None:
    twin.script(endpoint="*", times=1, **fault)
    outcome = await claude.submit(replace(CALL, arguments={**CALL.arguments, **more}))

    assert isinstance(outcome, RunFailure) and (type(outcome.error), outcome.error.kind) == (cls, kind)
    assert outcome.tokens and outcome.tokens.read > 0
    assert outcome.tokens.read + outcome.tokens.wrote == twin.billed


def message(text: str, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 5}
    whole = {"type": "message", "model": HAIKU, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    return whole | {"usage": usage} | more


async def answered(claude: Anthropic, twin: Twin, body: Any, **arguments: Any) -> Any:
    twin.script(endpoint="*", call="submit", times=1, what="http", status=200, accepted=True, body=body)
    return await claude.submit(replace(CALL, arguments={**CALL.arguments, **arguments}))


@pytest.mark.parametrize("text", ["{", "", "sure: {}", '{"width": NaN}', "[" * 100_000, "1" * 5000])
async def test_an_answer_that_is_not_json_is_a_broken_piece(claude: Anthropic, twin: Twin, text: str) -> None:
    fault = await answered(claude, twin, message(text), schema=SCHEMA)

    assert isinstance(fault.error, BrokenPieceError) and fault.error.kind == "bad_json"
    assert fault.tokens == Tokens(123, 5, cached=120)


async def test_an_empty_answer_or_an_unknown_stop_is_a_broken_piece(claude: Anthropic, twin: Twin) -> None:
    for body, kind in ((message(" "), "empty"), (message("x", stop_reason="pause_turn"), "stop_reason")):
        fault = await answered(claude, twin, body)
        assert isinstance(fault.error, BrokenPieceError) and fault.error.kind == kind
        assert fault.tokens == Tokens(123, 5, cached=120)


async def test_cached_tokens_count_as_read(claude: Anthropic, twin: Twin) -> None:
    reply = await answered(claude, twin, message("hello"))

    assert (reply.tokens.read, reply.tokens.wrote) == (123, 5)


async def test_half_a_surrogate_pair_is_replaced(claude: Anthropic, twin: Twin) -> None:
    body = json.dumps(message("half \ud83d of a pair"))
    assert (await answered(claude, twin, body)).output["text"] == "half ? of a pair"

    body = json.dumps(message('{"width": "\\ud83d"}'))
    assert (await answered(claude, twin, body, schema=SCHEMA)).output == {"json": {"width": "?"}}


async def test_thinking_blocks_are_not_part_of_the_answer(claude: Anthropic, twin: Twin) -> None:
    thoughts = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = message("x", content=[thoughts, {"type": "text", "text": "a "}, {"type": "text", "text": "b"}])

    assert (await answered(claude, twin, body)).output == {"text": "a b"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (replace(CALL, arguments={"prompt": "x", "tools": []}), "tools cannot be set through extra"),
        (replace(CALL, arguments={"prompt": "x", "model": "claude-opus-5-5"}), "model cannot be set"),
        (replace(CALL, arguments={"prompt": "x", "schema": SCHEMA, "output_config": "low"}), "must be an object"),
        (replace(CALL, files=(Media(b"heic", "image/heic"),)), "image 1 is image/heic; allowed: image/gif"),
        (replace(CALL, files=(picture("red"), Media(b"x" * 99, "image/png"))), "image 2 cannot be decoded"),
    ],
)
async def test_an_invalid_call_is_refused_before_it_is_sent(
    claude: Anthropic, twin: Twin, call: Call, says: str
) -> None:
    with pytest.raises(RequestRefusedError, match=says):
        await claude.submit(call)

    assert twin.count == 0


def noise(size: tuple[int, int]) -> Media:
    """A PNG that does not compress."""
    spool = io.BytesIO()
    Image.effect_noise(size, 100).save(spool, "png", compress_level=0)
    return Media(spool.getvalue(), "image/png")


@pytest.mark.parametrize("file", [noise((2100, 1900)), picture("blue", (9000, 100))], ids=["bytes", "side"])
async def test_a_picture_over_the_vendors_limits_is_scaled_down(claude: Anthropic, twin: Twin, file: Media) -> None:
    reply = await claude.submit(replace(CALL, files=(file,)))

    assert isinstance(reply, Reply) and ("2000x1810" in reply.output["text"] or "2000x22" in reply.output["text"])


async def test_more_than_twenty_pictures_are_scaled_to_a_smaller_side(claude: Anthropic, twin: Twin) -> None:
    reply = await claude.submit(replace(CALL, files=(picture("blue", (2100, 10)),) * 21))

    assert isinstance(reply, Reply) and "Picture 21: blue, 2000x10" in reply.output["text"]


async def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    claude = await opened("http://127.0.0.1:1/anthropic")
    with pytest.raises(ServiceUnavailableError):
        await claude.submit(CALL)
    await claude.aclose()


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[int]]]:
    """A server that reads a complete request, runs `behave`, and counts requests."""
    server, seen = socket.create_server(("127.0.0.1", 0)), list[int]()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                head = b""
                while b"\r\n\r\n" not in head or len(head.split(b"\r\n\r\n", 1)[1]) < _length(head):
                    head += connection.recv(65536)
                seen.append(1)
                behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(60)


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection: socket.socket) -> None:
    """Sends a byte every 50 ms, without an end, so that no read times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
    pause = threading.Event()
    try:
        while not pause.wait(0.05):
            connection.sendall(b" ")
    except OSError:
        return


@pytest.mark.parametrize("behave", [reset, trickle])
async def test_a_reset_or_an_endless_answer_is_a_lost_answer_after_one_post(
    behave: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.providers.anthropic.provider.CONNECT_S", 0.2)
    with peer(behave) as (url, seen):
        claude = await opened(url, timeout_s=0.2)
        with pytest.raises(SubmitUnknownError):
            async with asyncio.timeout(60):
                await claude.submit(CALL)
        await claude.aclose()

    assert len(seen) == 1


async def test_there_are_no_tickets(claude: Anthropic) -> None:
    assert await claude.find(LostSubmission("a", 1, HAIKU, {}, 0.0)) == SearchResult()
    assert await claude.cancel(HAIKU, Ticket("x")) is CancelResult.TOO_LATE
    for ask in (claude.poll, claude.result):
        with pytest.raises(InternalError, match="no tickets"):
            await ask(HAIKU, Ticket("x"))


STREAMED = replace(CALL, arguments={**CALL.arguments, "stream": True})


async def test_a_streamed_text_is_reported_while_it_is_written_and_is_the_same_answer(
    claude: Anthropic, twin: Twin
) -> None:
    heard = list[tuple[str, Running]]()
    claude.listener = lambda job, running: heard.append((job, running))
    reply = await claude.submit(STREAMED)
    assert twin.sent["stream"] is True and twin.count == 1
    whole = await claude.submit(CALL)
    assert isinstance(reply, Reply) and isinstance(whole, Reply)
    assert (reply.output, reply.version) == (whole.output, whole.version)
    assert reply.tokens == whole.tokens
    texts = [running.logs[0] for _, running in heard]
    assert len(texts) == 4 and texts == sorted(texts, key=len) and {job for job, _ in heard} == {"job-1"}
    assert str(reply.output["text"]).startswith(texts[0]) and running_is_the_end_of(texts[-1], reply.output["text"])


def running_is_the_end_of(shown: str, text: Any) -> bool:
    return str(text).strip().endswith(shown.strip())


async def test_streamed_json_is_checked_and_a_refusal_is_one(claude: Anthropic, twin: Twin) -> None:
    reply = await claude.submit(replace(STREAMED, arguments={**STREAMED.arguments, "schema": SCHEMA}))
    assert isinstance(reply, Reply) and set(reply.output["json"]) == {"colours", "width"}
    twin.script(provider="anthropic", what="blocked")
    refused = await claude.submit(STREAMED)
    assert isinstance(refused, RunFailure) and isinstance(refused.error, ContentRefusedError)
    twin.script(provider="anthropic", what="max_tokens")
    cut = await claude.submit(STREAMED)
    assert isinstance(cut, RunFailure) and cut.error.kind == "max_tokens"


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (['{"type": "message_start", "message": {"type": "message"}}'], "no answer"),
        (['{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'], "no answer"),
        (['{"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}}'], "no answer"),
        (["not json"], "no answer"),
        (['{"type": "message_stop"}'], "cannot be read"),
    ],
)
async def test_a_stream_that_breaks_may_have_been_made_and_billed(events: list[str], text: str) -> None:
    body = "".join(f"data: {event}\n\n" for event in events)
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())
    guard = AnthropicGuard(httpx2.MockTransport(lambda _: answer))
    provider = await opened("http://twin.example/anthropic")
    provider._client._client._transport = guard
    with pytest.raises(SubmitUnknownError, match=text):
        await provider.submit(STREAMED)
    await provider.aclose()
