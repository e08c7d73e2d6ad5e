"""The guard sends one request per call, even if the SDK tries more."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from worker.errors import InternalError, ServiceUnavailableError, SubmitUnknownError
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
    async with httpx.AsyncClient(transport=GoogleGuard(Drip(), "vertex", 0.05)) as http, asyncio.timeout(5):
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
