"""The guard sends one request per call, even if the SDK tries more."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    InternalError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.net.http import open_transport
from worker.providers.google.guard import GoogleGuard, WireCall, current_call

URL = "http://127.0.0.1/v1/models/m:generateContent"


def client(answer: httpx.MockTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=GoogleGuard(answer, "vertex", 1))


async def test_a_second_request_of_one_call_is_never_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    current_call.set(now := WireCall())
    async with client(httpx.MockTransport(answer)) as http:
        await http.post(URL)
        assert now.is_paid and now.is_sent and now.is_answered
        with pytest.raises(InternalError, match="twice"):
            await http.post(URL)
    assert len(seen) == 1


class Drip(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """An endless answer, a byte at a time."""

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)


async def test_an_answer_that_never_ends_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.providers.google.guard.CONNECT_S", 0.05)  # the timeout is the sum of both
    current_call.set(WireCall())
    async with httpx.AsyncClient(transport=GoogleGuard(Drip(), "vertex", 0.05)) as http, asyncio.timeout(60):
        with pytest.raises(SubmitUnknownError):
            await http.post(URL)


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (httpx.ConnectError("x"), ServiceUnavailableError),
        (httpx.ConnectTimeout("x"), ServiceUnavailableError),
        (httpx.PoolTimeout("x"), ServiceUnavailableError),
        (httpx.ReadTimeout("x"), SubmitUnknownError),
        (httpx.WriteTimeout("x"), SubmitUnknownError),
        (httpx.ReadError("x"), SubmitUnknownError),
        (httpx.RemoteProtocolError("x"), SubmitUnknownError),
        (httpx.DecodingError("x"), SubmitUnknownError),
        (TimeoutError(), SubmitUnknownError),
    ],
    ids=lambda row: type(row).__name__ if isinstance(row, Exception) else "",
)
async def test_only_errors_before_sending_are_safe_to_repeat(error: Exception, cls: type) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    for url, expected in ((URL, cls), (f"{URL.rpartition(':')[0]}:fetchPredictOperation", ServiceUnavailableError)):
        current_call.set(WireCall())
        async with client(httpx.MockTransport(fail)) as http:
            with pytest.raises(expected) as raised:
                await http.post(url)
        assert type(raised.value) is expected and "vertex" in raised.value.message


def answering(body: bytes, **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(200, stream=Once(body), headers=headers))


class Once(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


@pytest.mark.parametrize(
    ("body", "encoding", "most_bytes"),
    [(b" " * 5_000_000, "identity", 4_000_000), (gzip.compress(b" " * 9_000_000), "gzip", 8_000_000)],
    ids=["large", "bomb"],
)
async def test_an_answer_is_read_no_further_than_its_cap(body: bytes, encoding: str, most_bytes: int) -> None:
    for url, cls in ((URL, SubmitUnknownError), (f"{URL.rpartition(':')[0]}:fetchPredictOperation", BrokenPieceError)):
        current_call.set(WireCall(most_bytes=most_bytes))
        async with client(answering(body, **{"content-encoding": encoding})) as http:
            with pytest.raises(cls, match="more than"):
                await http.post(url)


@pytest.mark.parametrize("size", [10, 1 << 19])
async def test_odd_json_is_harmless_before_the_sdk_reads_it(size: int) -> None:
    current_call.set(WireCall(most_bytes=1 << 22))
    picture = b"QUJD" * (size // 4 + 1)
    body = rb'{"text": "\uD800", "n": NaN, "inlineData": {"data": "' + picture + b'"}}'
    async with client(answering(gzip.compress(body), **{"content-encoding": "gzip"})) as http:
        found = (await http.post(URL)).json()
    assert (found["text"], found["n"], len(found["inlineData"]["data"]) <= len(picture)) == ("?", None, True)


@pytest.mark.parametrize(("header", "cls"), [("x-goog-api-key", AuthenticationError), ("x-other", RequestRefusedError)])
async def test_a_header_that_cannot_be_sent_says_that_nothing_was_sent(header: str, cls: type[Exception]) -> None:
    current_call.set(WireCall())
    async with httpx.AsyncClient(transport=GoogleGuard(open_transport(1), "gemini", 1)) as http:
        with pytest.raises(cls, match="nothing was sent") as caught:
            await http.post(URL, headers={header: "secret\n"})
    assert "secret" not in str(caught.value)
