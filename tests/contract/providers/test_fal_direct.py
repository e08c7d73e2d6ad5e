"""fal's direct calls and the streams of any endpoint, over the real transport, against the twin."""

from collections.abc import AsyncIterator

import pytest

from config.settings import FalSettings
from tests.contract.providers.conftest import Twin, opened, opened_stream
from worker.errors import (
    AuthenticationError,
    RateLimitError,
    RequestRefusedError,
    SubmitUnknownError,
)
from worker.providers.base import Call, Reply, RunFailure
from worker.providers.fal.direct import FalDirect

FLUX, LLM = "fal-ai/flux/schnell", "openrouter/router"


@pytest.fixture
async def direct(twin: Twin) -> AsyncIterator[FalDirect]:
    provider = FalDirect(await opened(twin), FalSettings(fal_base_url=twin.url, fal_stream_s=3))
    yield provider
    await provider.aclose()


async def test_a_direct_call_is_one_post_and_its_answer_the_output(twin: Twin, direct: FalDirect) -> None:
    reply = await direct.submit(Call("job", FLUX, {"prompt": "a kiln", "image_size": "square"}))
    assert isinstance(reply, Reply) and reply.output["images"][0]["url"].startswith("http")
    assert reply.billed_units == 1 and twin.count == 1
    (request,) = twin.http.get("/_twin/requests").json()["requests"]
    assert request["is_direct"] and "job=job" in request["headers"]["x-fal-tags"]


@pytest.mark.parametrize(
    ("fault", "cls", "runs"),
    [
        ({"call": "submit", "what": "drop"}, SubmitUnknownError, 1),
        ({"call": "submit", "what": "nginx", "status": 502}, SubmitUnknownError, 1),
        ({"call": "submit", "what": "http", "status": 401}, AuthenticationError, 0),
        ({"call": "submit", "what": "http", "status": 429}, RateLimitError, 0),
    ],
)
async def test_what_becomes_of_a_call_without_an_answer(
    twin: Twin, direct: FalDirect, fault: dict[str, object], cls: type[Exception], runs: int
) -> None:
    twin.script(**fault)
    with pytest.raises(cls):
        await direct.submit(Call("job", FLUX, {"prompt": "a kiln"}))
    assert twin.count == runs


async def test_a_call_that_takes_too_long_is_unknown(twin: Twin, direct: FalDirect) -> None:
    twin.pace(seconds=60.0, queue_seconds=0.0)
    with pytest.raises(SubmitUnknownError):
        await direct.submit(Call("job", FLUX, {"prompt": "a kiln"}))


async def test_an_error_of_the_run_is_its_outcome_and_one_of_the_door_is_raised(twin: Twin, direct: FalDirect) -> None:
    failed = await direct.submit(Call("job", FLUX, {"prompt": "a kiln", "num_images": 99}))
    assert isinstance(failed, RunFailure) and isinstance(failed.error, RequestRefusedError)
    with pytest.raises(RequestRefusedError):
        await direct.submit(Call("job", "acme/none", {}))


async def test_any_endpoint_and_any_workflow_can_be_streamed(twin: Twin) -> None:
    stream, shown = await opened_stream(twin), list[tuple[str, ...]]()
    stream.listener = lambda _, running: shown.append(running.logs)
    words = await stream.submit(Call("job", LLM, {"prompt": "Name a colour.", "model": "openai/gpt-4.1"}))
    assert isinstance(words, Reply) and words.output["output"]
    assert len({lines[0] for lines in shown}) == 3 and words.output["output"].startswith(shown[0][0])
    shown.clear()
    drawn = await stream.submit(Call("job", "workflows/acme/cups", {"prompt": "a cup"}))
    assert isinstance(drawn, Reply) and drawn.output
    assert shown[0] == ("node_1 (fal-ai/flux/dev): is running",)
    await stream.aclose()
