"""fal's answers: too large, too slow, compressed, odd; and what was never sent says so."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from config.keys.fal import FalKey, fal_disabled_why, find_fal_key
from config.settings import FalSettings
from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ExternalServiceError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Job, Options, Stage, Step, Ticket, dump_job, load_job
from worker.net.http import open_transport
from worker.net.pace import Pace
from worker.providers.base import Call, CancelResult, Ended, Reply, RunFailure
from worker.providers.fal import guard
from worker.providers.fal.billing_events import _read_events
from worker.providers.fal.provider import Fal, open_fal

ENDPOINT = "fal-ai/flux/schnell"
CALL = Call("job-1", ENDPOINT, {"prompt": "a kiln"})
PLACE = "https://queue.fal.run/fal-ai/flux/requests/r-1"
TICKET = Ticket("r-1", {"status": f"{PLACE}/status", "response": PLACE, "cancel": f"{PLACE}/cancel"})
URLS = {"response_url": PLACE, "status_url": f"{PLACE}/status", "cancel_url": f"{PLACE}/cancel"}
Answer = Callable[[httpx.Request], httpx.Response]
SETTINGS = FalSettings(fal_timeout_s=60, _env_file=None)  # type: ignore[call-arg]


class Endless(httpx.AsyncByteStream):
    """Blanks without end, so many at a time."""

    def __init__(self, size: int, pause_s: float) -> None:
        self.size, self.pause_s, self.sent, self.is_closed = size, pause_s, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" " * self.size
            self.sent += self.size
            await asyncio.sleep(self.pause_s)

    async def aclose(self) -> None:
        self.is_closed = True


async def opened(answer: Answer | bytes, settings: FalSettings = SETTINGS, **headers: str) -> Fal:
    content = answer if isinstance(answer, bytes) else b""
    given = answer if callable(answer) else lambda _: httpx.Response(200, content=content, headers=headers)
    return await open_fal(settings, FalKey("FAL_KEY", SecretStr("id:secret")), httpx.MockTransport(given))


CALLS: dict[str, Callable[[Fal], Any]] = {
    "submit": lambda fal: fal.submit(CALL),
    "poll": lambda fal: fal.poll(ENDPOINT, TICKET),
    "result": lambda fal: fal.result(ENDPOINT, TICKET),
    "cancel": lambda fal: fal.cancel(ENDPOINT, TICKET),
}


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(guard, "ANSWER_PACE", Pace(window_s=0.05))
    body = Endless(1, 0.01)
    hurried = SETTINGS.model_copy(update={"fal_timeout_s": 0.3 if call == "submit" else 60})
    fal = await opened(lambda _: httpx.Response(200, stream=body), hurried)
    with pytest.raises(SubmitUnknownError if call == "submit" else ServiceUnavailableError):
        async with asyncio.timeout(60):
            await CALLS[call](fal)
    assert body.is_closed


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_is_read_no_further_than_its_cap(call: str) -> None:
    body = Endless(1 << 20, 0)
    fal = await opened(lambda _: httpx.Response(200, stream=body))
    try:
        outcome = await CALLS[call](fal)
        assert isinstance(outcome, RunFailure) and isinstance(outcome.error, BrokenPieceError)
    except ExternalServiceError as error:
        assert "more than 4 MB" in error.message
        assert isinstance(error, SubmitUnknownError) is (call == "submit")
    assert body.sent <= 12 << 20 and body.is_closed


async def test_a_compressed_bomb_is_too_large() -> None:
    headers = {"content-encoding": "gzip"}
    for billed, units in {"2.5": 2.5, "": None}.items():
        fal = await opened(
            lambda _, said=billed: httpx.Response(
                200, stream=_Once(BOMB), headers={**headers, "x-fal-billable-units": said}
            )
        )
        outcome = await fal.result(ENDPOINT, TICKET)
        assert isinstance(outcome, RunFailure) and outcome.error.kind == "too_large"
        assert outcome.billed_units == units and not outcome.is_free, "what it may have cost stays booked"


class _Once(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


BOMB = gzip.compress(b" " * 50_000_000)


async def test_a_compressed_answer_is_decoded_and_no_other_encoding_is_asked_for() -> None:
    asked = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        body = gzip.compress(b'{"seed": 7}')
        return httpx.Response(
            200, stream=_Once(body), headers={"content-encoding": "gzip", "x-fal-billable-units": "2"}
        )

    reply = await (await opened(answer)).result(ENDPOINT, TICKET)
    assert isinstance(reply, Reply) and (reply.output, reply.billed_units, asked) == ({"seed": 7}, 2, ["gzip, deflate"])


async def test_a_status_whose_logs_are_too_large_is_read_without_them() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        logs = [{"message": "x" * 5_000_000}] if "logs=1" in str(request.url) or "logs=true" in str(request.url) else []
        return httpx.Response(200, json={"status": "COMPLETED", "logs": logs, "metrics": {}})

    assert await (await opened(answer)).poll(ENDPOINT, TICKET) == Ended()


@pytest.mark.parametrize("logs", [["a line"], [{"message": None}], {"a": 1}, 7, [{"message": "\\ud800"}]])
async def test_odd_log_lines_do_no_harm(logs: Any) -> None:
    body = json.dumps({"status": "COMPLETED", "logs": logs, "metrics": {}}).replace("\\\\ud800", "\\uD800")
    assert isinstance(await (await opened(body.encode())).poll(ENDPOINT, TICKET), Ended)


ODD = (
    rb'{"images": [{"url": "https://x/y.png", "content_type": "image/png"}], "prompt": "\uD800\u0000", "n": NaN, '
    rb'"deep": ' + b"[" * 256 + b"]" * 256 + b"}"
)


async def test_a_paid_piece_is_not_lost_because_of_odd_json_around_it() -> None:
    reply = await (await opened(ODD)).result(ENDPOINT, TICKET)
    assert isinstance(reply, Reply)
    job = Job("a", "t", "q", {}, Step("m", {}, ()), Options(), 0.0, stage=Stage.FETCHED, answer=reply.output)
    found = load_job(dump_job(job)).answer
    assert found and found["images"] == [{"url": "https://x/y.png", "content_type": "image/png"}]


@pytest.mark.parametrize("units", ["nan", "inf", "-inf", "-5", "1e999", "1e300", "two", "99999999999"])
async def test_units_that_cannot_be_are_not_booked_and_prove_nothing(units: str) -> None:
    reply = await (await opened(b"{}", **{"x-fal-billable-units": units})).result(ENDPOINT, TICKET)
    assert isinstance(reply, Reply) and reply.billed_units is None
    failed = lambda _: httpx.Response(  # noqa: E731
        500, json={"detail": "x"}, headers={"x-fal-billable-units": units, "x-fal-error-type": "internal_error"}
    )
    failure = await (await opened(failed)).result(ENDPOINT, TICKET)
    assert isinstance(failure, RunFailure) and (failure.billed_units, failure.is_free) == (None, False)


@pytest.mark.parametrize("odd", ["r\u0007", "", "a/../b", "x" * 300, 7, None, ["r"]])
async def test_a_request_id_that_cannot_be_one_is_searched_for(odd: Any) -> None:
    fal = await opened(lambda _: httpx.Response(200, json={"request_id": odd, **URLS}))
    with pytest.raises(SubmitUnknownError, match="cannot be read"):
        await fal.submit(CALL)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"request_id": "r-1"}', b"[]", b"7", b'"x"'])
async def test_a_submit_whose_answer_cannot_be_read_is_searched_for(body: bytes) -> None:
    with pytest.raises(SubmitUnknownError, match="may have been accepted"):
        await (await opened(body)).submit(CALL)


async def test_a_run_with_an_odd_id_from_a_list_or_a_webhook_can_be_asked_for() -> None:
    asked = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"status": "OK"})

    fal = await opened(answer)
    ticket = fal.ticket_of(ENDPOINT, "r\u0007 1")
    assert ticket.request_id == "r\u0007 1"
    assert await fal.cancel(ENDPOINT, ticket) is CancelResult.STOPPED
    old = Ticket("r", {"cancel": f"{PLACE}\u0007/cancel"})  # on a row of a version that kept such URLs
    assert await fal.cancel(ENDPOINT, old) is CancelResult.STOPPED
    assert asked == ["/fal-ai/flux/requests/r%07%201/cancel", "/fal-ai/flux/requests/r-1%07/cancel"]


async def test_errors_have_no_more_text_than_a_row_should_hold() -> None:
    body = {"detail": [{"loc": ["body", "x" * 5000], "msg": "y" * 5000}], "error_type": "z" * 5000}
    fal = await opened(lambda _: httpx.Response(422, json=body, headers={"x-fal-request-id": "r"}))
    outcome = await fal.result(ENDPOINT, TICKET)
    assert isinstance(outcome, RunFailure) and len(outcome.error.message) < 1000
    assert len(outcome.error.kind or "") == 100
    odd = await opened(lambda _: httpx.Response(422, json={"detail": [{"loc": 7}]}, headers={"x-fal-request-id": "r"}))
    assert isinstance(await odd.result(ENDPOINT, TICKET), RunFailure)


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
async def test_a_call_that_cannot_be_written_says_that_nothing_was_sent(value: Any) -> None:
    sent = list[httpx.Request]()
    fal = await opened(lambda request: sent.append(request) or httpx.Response(200))
    with pytest.raises(RequestRefusedError, match="nothing was sent"):
        await fal.submit(Call("j", ENDPOINT, {"prompt": value}))
    assert sent == []


@pytest.mark.parametrize("key", ["id:secret\n", "id:sec\r\nret", "id:\x00"])
async def test_a_key_that_cannot_be_a_header_says_that_nothing_was_sent(key: str) -> None:
    fal = await open_fal(SETTINGS, FalKey("FAL_KEY", SecretStr(key)), open_transport(1))
    with pytest.raises(AuthenticationError, match="nothing was sent") as caught:
        await fal.submit(CALL)
    assert "secret" not in caught.value.message
    await fal.aclose()


def test_a_line_end_after_the_key_is_no_part_of_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAL_KEY", "id:secret\r\n")
    key = find_fal_key()
    assert key and key.value and key.value.get_secret_value() == "id:secret" and fal_disabled_why(SETTINGS) is None
    monkeypatch.setenv("FAL_KEY", "id:se\ncret")
    why = fal_disabled_why(SETTINGS)
    assert why and "FAL_KEY" in why and "cret" not in why


@pytest.mark.parametrize("odd", ["nan", "inf", -5, "-1e999"])
def test_amounts_of_a_bill_that_cannot_be_are_no_amounts(odd: Any) -> None:
    item = {"request_id": "r", "endpoint_id": "e", "timestamp": "2026-11-28T18:00:00Z", "output_units": odd}
    (event,) = _read_events({"billing_events": [{**item, "cost_estimate_nano_usd": odd, "cost_total": odd}]})
    assert (event.units, event.usd) == (None, None)


async def test_an_answer_with_too_many_values_is_too_large() -> None:
    outcome = await (await opened(b'{"a": [' + b"[]," * 500_000 + b"0]}")).result(ENDPOINT, TICKET)
    assert isinstance(outcome, RunFailure) and outcome.error.kind == "too_large"


@pytest.mark.parametrize(
    "body",
    [b'"https://v3.fal.media/a.png"', b'["https://v3.fal.media/a.png"]', b'[{"url": "https://v3.fal.media/a.png"}]'],
)
async def test_an_output_that_is_no_object_but_has_a_file_is_kept(body: bytes) -> None:
    fal = await opened(body)
    reply = await fal.result(ENDPOINT, TICKET)
    assert isinstance(reply, Reply) and reply.output == {"output": json.loads(body)}
    await fal.aclose()
