"""Anthropic's answers: too large, compressed, odd; and what was never sent says so."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from config.settings import AnthropicSettings
from worker.errors import BrokenPieceError, RequestRefusedError, ServiceUnavailableError, SubmitUnknownError
from worker.jobs.job import Job, Options, Stage, Step, dump_job, load_job
from worker.providers.anthropic.guard import AnthropicGuard
from worker.providers.anthropic.provider import Anthropic, open_anthropic
from worker.providers.base import Call, Reply, RunFailure, Tokens

CALL = Call("j", "claude-haiku-5-5", {"prompt": "a kiln"})
AS_JSON = Call("j", "claude-haiku-5-5", {"prompt": "a kiln", "schema": {"type": "object"}})


def message(text: str = "a kiln", **usage: Any) -> dict[str, Any]:
    counts = {"input_tokens": 3, "output_tokens": 5, **usage}
    content = [{"type": "text", "text": text}]
    return {"type": "message", "model": "m", "content": content, "stop_reason": "end_turn", "usage": counts}


async def opened(answer: bytes | Callable[[httpx2.Request], httpx2.Response], **headers: str) -> Anthropic:
    def given(request: httpx2.Request) -> httpx2.Response:
        return answer(request) if callable(answer) else httpx2.Response(200, stream=Body(answer), headers=headers)

    settings = AnthropicSettings(anthropic_api_key=SecretStr("key"), _env_file=None)  # type: ignore[call-arg]
    provider = await open_anthropic(settings)
    provider._client._client._transport = AnthropicGuard(httpx2.MockTransport(given))
    return provider


class Body(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> Any:
        yield self._body


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b" " * 5_000_000, {}), (gzip.compress(b" " * 40_000_000), {"content-encoding": "gzip"}), (b"x", {"content-encoding": "br"})],
    ids=["large", "bomb", "encoding"],
)  # fmt: skip
async def test_an_answer_is_read_no_further_than_its_cap(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(SubmitUnknownError):
        await (await opened(body, **headers)).submit(CALL)


async def test_a_compressed_answer_is_decoded() -> None:
    body = gzip.compress(json.dumps(message()).encode())
    reply = await (await opened(body, **{"content-encoding": "gzip"})).submit(CALL)
    assert isinstance(reply, Reply) and (reply.output, reply.tokens) == ({"text": "a kiln"}, Tokens(3, 5))


@pytest.mark.parametrize(
    "usage",
    [{"input_tokens": -3}, {"output_tokens": 10**400}, {"input_tokens": "many"}, {"cache_read_input_tokens": -9}],
)
async def test_tokens_that_cannot_be_do_not_lose_the_answer(usage: dict[str, Any]) -> None:
    reply = await (await opened(json.dumps(message(**usage)).encode())).submit(CALL)
    assert isinstance(reply, Reply) and (reply.output, reply.tokens) == ({"text": "a kiln"}, None)


@pytest.mark.parametrize("levels", [10, 256])
async def test_odd_json_in_an_answer_can_be_kept_on_a_row(levels: int) -> None:
    text = '{"a": "\\ud800", "deep": ' + "[" * levels + "]" * levels + "}"
    body = json.dumps(message(text)).encode()
    reply = await (await opened(body)).submit(AS_JSON)
    assert isinstance(reply, Reply) and reply.output["json"]["a"] == "?"
    job = Job("a", "t", "q", {}, Step("m", {}, ()), Options(), 0.0, stage=Stage.FETCHED, answer=reply.output)
    assert load_job(dump_job(job)).answer == reply.output


async def test_json_of_too_many_levels_is_a_bad_answer() -> None:
    outcome = await (await opened(json.dumps(message("[" * 50_000)).encode())).submit(AS_JSON)
    assert isinstance(outcome, RunFailure) and isinstance(outcome.error, BrokenPieceError)


async def test_a_call_that_cannot_be_written_says_that_nothing_was_sent() -> None:
    sent = list[Any]()
    provider = await opened(lambda request: sent.append(request) or httpx2.Response(200))
    with pytest.raises(RequestRefusedError, match="nothing was sent"):
        await provider.submit(Call("j", "m", {"prompt": "\ud800"}))
    assert sent == []


async def test_a_header_that_cannot_be_sent_says_that_nothing_was_sent() -> None:
    settings = AnthropicSettings(anthropic_api_key=SecretStr("key"), _env_file=None)  # type: ignore[call-arg]
    provider = await open_anthropic(settings.model_copy(update={"anthropic_base_url": "http://127.0.0.1:9"}))
    for key in ("secret\n", "secr\u00e9t"):
        provider._client.api_key = key
        with pytest.raises((ServiceUnavailableError, RequestRefusedError), match="nothing was sent") as caught:
            await provider.submit(CALL)
        assert "secr" not in caught.value.message
    await provider.aclose()
