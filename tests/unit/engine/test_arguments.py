"""Language jobs through the real dispatcher: the answer is judged, mended by one repair round, or had elsewhere."""

from typing import Any

import pytest

from tasks.language import caption
from tasks.language.requests import CaptionRequest
from tests.unit.engine.fakes import FakeAtOnce
from tests.unit.engine.world import CATALOGUE, World, world_of_two
from worker.errors import AuthenticationError, BrokenPieceError, ServiceUnavailableError
from worker.jobs.answers import AnswerFaults
from worker.jobs.job import Job, Stage
from worker.providers.base import Reply, RunFailure, Tokens

IMAGE = "https://x/shoe.png"
ASKED = CaptionRequest(images=[IMAGE], trigger_word="SHOE")
GOOD_ANSWER = {"captions": [{"image": 1, "text": "a red shoe"}]}
TOKENS = Tokens(1000, 200)
GOOD = Reply({"json": GOOD_ANSWER}, tokens=TOKENS, version="claude-haiku-5-5-20261001")
BAD = Reply({"json": {"captions": []}}, tokens=TOKENS)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = world_of_two(anthropic=FakeAtOnce("anthropic", GOOD), gemini=FakeAtOnce("gemini", GOOD))
    del world.providers["fal"]
    return world


def fake(world: World, name: str) -> FakeAtOnce:
    return world.providers[name]  # type: ignore[no-any-return]


async def accept(world: World, **options: Any) -> Job:
    step = ASKED.step(CATALOGUE.find(ASKED.model))
    return await world.accept_step(step, "language.caption", request=ASKED.model_dump(mode="json"), **options)


def prompts(world: World, name: str) -> list[str]:
    return [call.arguments["prompt"] for call in fake(world, name).sent]


async def test_a_good_answer_is_handed_on_as_judged(world: World) -> None:
    await accept(world)
    row = await world.until(Stage.CLOSING)
    result = dict(row.result or {})
    assert result["answer"] == {"captions": [{"image": 1, "text": "SHOE, a red shoe"}]}
    assert (result["cost"]["usd"], result["cost"]["units"], result["cost"]["certainty"]) == (0.0002, 1200.0, "exact")
    provenance = result["provenance"]
    assert (provenance["provider"], provenance["version"]) == ("anthropic", "claude-haiku-5-5-20261001")
    assert provenance["prompt"] == ASKED.prompt.text
    assert "images" not in result
    assert fake(world, "anthropic").sent[0].files[0].data == IMAGE.encode()


async def test_a_bad_answer_is_shown_to_the_model_once_more_with_its_faults(world: World) -> None:
    fake(world, "anthropic").submits = [BAD, GOOD]
    await accept(world)
    row = await world.until(Stage.CLOSING)
    first, second = prompts(world, "anthropic")
    assert second.startswith(first)
    assert '{"captions": []}' in second
    assert "- image 1 is missing" in second
    assert [attempt.error and attempt.error.kind for attempt in row.attempts] == ["bad_answer", None]
    result = dict(row.result or {})
    assert result["answer"]["captions"][0]["text"] == "SHOE, a red shoe"
    assert result["provenance"]["prompt"] == second, "the prompt that was really sent"
    assert [attempt.cost and attempt.cost.usd for attempt in row.attempts] == [0.0002, 0.0002]
    assert fake(world, "gemini").calls == []


async def test_what_stays_bad_is_had_from_the_other_vendor_with_the_question_as_it_was(world: World) -> None:
    fake(world, "anthropic").submits = [BAD]
    await accept(world)
    row = await world.until(Stage.CLOSING)
    assert [attempt.provider for attempt in row.attempts] == ["anthropic", "anthropic", "gemini"]
    assert row.ending == Stage.COMPLETED
    assert prompts(world, "gemini") == [ASKED.prompt.text]
    assert dict(row.result or {})["provenance"]["prompt"] == ASKED.prompt.text


async def test_when_both_answer_badly_the_first_ones_fault_is_raised(world: World) -> None:
    fake(world, "anthropic").submits = fake(world, "gemini").submits = [BAD]
    await accept(world)
    row = await world.until(Stage.CLOSING)
    assert [len(fake(world, name).sent) for name in ("anthropic", "gemini")] == [2, 2]
    assert row.error and (row.error.code, row.error.kind) == ("broken_piece", "bad_answer")
    assert "gemini failed too: an answer that cannot be used" in row.error.message


async def test_a_vendor_that_says_itself_that_it_has_no_json_is_asked_once_more(world: World) -> None:
    fake(world, "anthropic").submits = [RunFailure(BrokenPieceError("anthropic: cut short", kind="bad_json"))]
    await accept(world)
    row = await world.until(Stage.CLOSING)
    assert [attempt.provider for attempt in row.attempts] == ["anthropic", "anthropic", "gemini"]


async def test_a_repair_round_that_another_vendor_serves_asks_as_at_first(world: World) -> None:
    assert world.health
    fake(world, "anthropic").submits = [BAD, AuthenticationError("anthropic: 401")]
    await accept(world)
    await world.turn()
    await world.health.open("anthropic")
    row = await world.until(Stage.CLOSING)
    assert [attempt.provider for attempt in row.attempts] == ["anthropic", "gemini"]
    assert prompts(world, "gemini") == [ASKED.prompt.text]


async def test_a_repair_round_outlasts_a_passing_failure(world: World) -> None:
    fake(world, "anthropic").submits = [BAD, ServiceUnavailableError("anthropic: 529"), GOOD]
    await accept(world)
    await world.until(Stage.CLOSING)
    first, *later = prompts(world, "anthropic")
    assert len(later) == 2
    assert all(prompt != first and prompt == later[0] for prompt in later)


async def test_an_answer_in_plain_words_is_checked_too() -> None:
    faults = caption.check.check(ASKED.model_dump(mode="json"), {"text": "here you are"}, {})

    assert faults == AnswerFaults(("it is not JSON",), "here you are")
    assert faults.dump() == {"answer": "here you are", "complaint": ["it is not JSON"]}
    assert AnswerFaults.load(faults.dump()) == faults
