"""The language tasks through their providers: one schema, valid answers, one repair round."""

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from config.catalogue import load_catalogue
from config.mapping import arguments_for
from config.settings import AnthropicSettings
from tasks.language.answers import Analysis, Captions, Matches, Outfits
from tasks.language.checks import LanguageCheck, checked_answer
from tasks.language.requests import REQUESTS, LanguageRequest
from tests.contract.providers.conftest import Twin
from worker.files.media import Media
from worker.jobs.answers import AnswerFaults
from worker.jobs.job import Step
from worker.jobs.request import read
from worker.providers.anthropic.provider import Anthropic, open_anthropic
from worker.providers.base import Call, Reply

CATALOGUE = load_catalogue()
URLS = ["https://example.com/1.png", "https://example.com/2.png"]
ASKED: dict[str, dict[str, Any]] = {
    "language.caption": {"images": URLS, "trigger_word": "ohwx"},
    "language.style": {
        "wardrobe": [{"name": "coat", "image": URLS[0]}, {"name": "shirt", "image": URLS[1]}],
        "outfits": 1,
    },
    "language.analyse": {"images": URLS, "questions": ["Which is red?", "Which is wool?"]},
    "language.filter": {"products": [{"name": "coat"}, {"name": "hat"}], "images": URLS, "text": "winter"},
}


@pytest.fixture
async def claude(twin: Twin) -> AsyncIterator[Anthropic]:
    twin.pace(seconds=0.01)
    provider = await open_anthropic(
        AnthropicSettings(anthropic_base_url=f"{twin.url}/anthropic", anthropic_timeout_s=30)
    )
    yield provider
    await provider.aclose()


def picture(colour: str) -> Media:
    spool = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(spool, "png")
    return Media(spool.getvalue(), "image/png")


FILES = (picture("red"), picture("blue"))


def asked(task: str) -> tuple[LanguageRequest, Step]:
    request, _ = read(task, REQUESTS[task], ASKED[task])
    return request, request.step(CATALOGUE.find(request.model))


def call(step: Step, **changed: Any) -> Call:
    """The step on the route of Anthropic."""
    (route,) = (route for route in CATALOGUE.find(step.model).routes if route.provider == "anthropic")
    return Call("job-1", route.endpoint, arguments_for(route, {**step.arguments, **changed}, {}), files=FILES)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("language.caption", Captions),
        ("language.style", Outfits),
        ("language.analyse", Analysis),
        ("language.filter", Matches),
    ],
)
async def test_every_task_gets_a_valid_answer(claude: Anthropic, task: str, kind: type) -> None:
    request, step = asked(task)
    reply = await claude.submit(call(step))
    assert isinstance(reply, Reply)
    answer = checked_answer(request.answer, reply.output, request.asked)

    assert type(answer) is kind
    match answer:
        case Captions(captions=[first, second]):
            assert first.text.startswith("ohwx, ") and (first.image, second.image) == (1, 2)
        case Outfits(outfits=[outfit]):
            assert outfit.garments == [1, 2]
        case Matches(products=[one, two]):
            assert (one.product, two.product) == (1, 2)
        case Analysis(findings=[one, two]):
            assert (one.question, two.question) == (1, 2)
        case _:
            pytest.fail(f"not what was asked for: {answer}")


@pytest.mark.parametrize("task", REQUESTS)
def test_the_other_vendor_takes_the_same_schema(twin: Twin, task: str) -> None:
    twin.pace(seconds=0.01)
    request, step = asked(task)
    inline = [{"inlineData": {"mimeType": f.content_type, "data": base64.b64encode(f.data).decode()}} for f in FILES]
    body = {
        "contents": [{"role": "user", "parts": [*inline, {"text": step.arguments["prompt"]}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": step.arguments["schema"]},
    }
    path = "/google/v1/models/gemini-3.8-flash:generateContent"
    answer = httpx.post(f"{twin.url}{path}", json=body, headers={"x-goog-api-key": "k"})

    assert answer.status_code == 200, answer.text
    value = json.loads(answer.json()["candidates"][0]["content"]["parts"][0]["text"])
    assert isinstance(checked_answer(request.answer, {"json": value}, request.asked), request.answer)


async def test_an_answer_that_breaks_its_schema_is_repaired_in_one_round(claude: Anthropic, twin: Twin) -> None:
    twin.script(endpoint="*", what="bad_schema", times=1)
    request, step = asked("language.caption")
    reply = await claude.submit(call(step))
    assert isinstance(reply, Reply)
    faults = checked_answer(request.answer, reply.output, request.asked)
    assert isinstance(faults, AnswerFaults)

    repaired = LanguageCheck(type(request)).repair(step.arguments, faults)
    again = await claude.submit(call(step, **repaired))
    assert isinstance(again, Reply) and isinstance(
        checked_answer(request.answer, again.output, request.asked), Captions
    )
    assert twin.count == 2
