"""fal's streams over the real transport, against the twin's Comfy server on a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.contract.providers.conftest import Twin, opened_stream
from tests.unit.tasks.comfy_workflow import workflow
from worker.errors import RateLimitError, RequestRefusedError, SubmitUnknownError
from worker.providers.base import Call, Reply, RunFailure, Running
from worker.providers.fal.streaming import FalStream


@pytest.fixture
async def stream(twin: Twin) -> AsyncIterator[FalStream]:
    provider = await opened_stream(twin, timeout_s=3.0)
    yield provider
    await provider.aclose()


def call(**changed: object) -> Call:
    return Call("job", "fal-ai/comfy-server/stream", {"prompt": workflow(**changed), "fal_inputs": {}})


async def test_events_come_while_the_run_goes_on(twin: Twin, stream: FalStream) -> None:
    twin.pace(seconds=0.4, queue_seconds=0.0)
    heard: list[tuple[float, Running]] = []
    stream.listener = lambda _, running: heard.append((time.monotonic(), running))

    reply = await stream.submit(call())

    assert isinstance(reply, Reply) and len(reply.output["outputs"][0]["files"]) == 1
    assert heard[-1][0] - heard[0][0] > 0.2, "not all at once at the end"
    assert any("node 8 (KSampler): 2/4" in running.logs for _, running in heard)
    assert twin.count == 1


async def test_a_cancelled_call_closes_its_connection_at_once(twin: Twin, stream: FalStream) -> None:
    twin.pace(seconds=60.0, queue_seconds=0.0)
    began = asyncio.Event()
    stream.listener = lambda *_: began.set()
    calling = asyncio.create_task(stream.submit(call()))
    await asyncio.wait_for(began.wait(), 10)

    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(calling, 2)
    assert twin.count == 1


async def test_a_run_that_takes_too_long_is_unknown(twin: Twin, stream: FalStream) -> None:
    twin.pace(seconds=60.0, queue_seconds=0.0)
    with pytest.raises(SubmitUnknownError, match="more than 3 s"):
        await stream.submit(call())


@pytest.mark.parametrize(
    ("fault", "cls"),
    [
        ({"what": "drop"}, SubmitUnknownError),
        ({"what": "truncated"}, SubmitUnknownError),
        ({"what": "nginx", "status": 502}, SubmitUnknownError),
        ({"what": "http", "status": 422, "body": {"detail": "no"}}, RequestRefusedError),
        ({"what": "http", "status": 429}, RateLimitError),
    ],
)
async def test_what_becomes_of_an_answer_that_is_no_stream(
    twin: Twin, stream: FalStream, fault: dict[str, object], cls: type[Exception]
) -> None:
    twin.script(call="submit", **fault)
    with pytest.raises(cls):
        await stream.submit(call())
    assert twin.count == (cls is SubmitUnknownError)


async def test_the_server_names_the_node_that_it_refuses(twin: Twin, stream: FalStream) -> None:
    outcome = await stream.submit(call(n11={"class_type": "X", "inputs": {"image": ["77", 0]}}))
    assert isinstance(outcome, RunFailure) and "node 11 (X): Bad linked input" in outcome.error.message


async def test_a_failed_node_is_named(twin: Twin, stream: FalStream) -> None:
    twin.script(what="error", status=500)
    outcome = await stream.submit(call())
    assert isinstance(outcome, RunFailure) and "node 9 (VAEDecode) failed" in outcome.error.message
