"""The possible cost of an attempt: the bill is never above its upper bound, which exists if there is a price."""

from dataclasses import replace
from typing import Any

import pytest

from config.catalogue import Price, load_catalogue
from config.mapping import arguments_for
from tasks.language import caption
from tasks.language.requests import REQUESTS, LanguageRequest
from tests.unit.engine.fakes import FakeAtOnce
from tests.unit.engine.world import World, world_of_two
from worker.engine.arguments import call_arguments
from worker.engine.cancellation import STRIKES
from worker.errors import SubmitUnknownError
from worker.explain.story import money
from worker.jobs.cost import Cost
from worker.jobs.job import Attempt, Job, Options, Stage, Step
from worker.jobs.total_cost import total_cost
from worker.money.possible import (
    FRAME_TOKENS,
    LEAST_WRITTEN,
    MOST_WRITTEN,
    PICTURE_TOKENS,
    most_tokens,
    possible_cost,
)
from worker.providers.anthropic.message import MAX_TOKENS
from worker.providers.base import Tokens
from worker.providers.google.language import LEAST_TOKENS
from worker.routing.served import Served

CATALOGUE = load_catalogue()
WORDS = Price(usd=1, usd_out=2, per="token", picture_tokens=100)
ASKED: dict[str, dict[str, Any]] = {
    "language.caption": {"images": ["jobs/a/1.png", "jobs/a/2.png"]},
    "language.style": {"wardrobe": [{"name": "coat", "image": "jobs/a/1.png"}, {"name": "jeans"}]},
    "language.analyse": {"images": ["jobs/a/1.png", "jobs/a/2.png", "jobs/a/3.png"], "questions": ["Which is red?"]},
}
LOST = SubmitUnknownError("anthropic: no answer", provider="anthropic")


def cost_of_sent(job: Job) -> Cost:
    served = Served(CATALOGUE, job)
    return possible_cost(served.model, served.route, job.step, call_arguments(job, served.route, caption.check))


def test_a_byte_of_what_was_sent_is_a_token_at_most() -> None:
    bare = most_tokens(WORDS, {"prompt": "", "max_tokens": 2000}, pictures=0)
    assert bare.wrote == 2000 and FRAME_TOKENS < bare.read < FRAME_TOKENS + 50
    for text, size in (("a" * 500, 500), ("ü" * 500, 1000), ("花" * 500, 1500)):
        longer = most_tokens(WORDS, {"prompt": text, "max_tokens": 2000}, pictures=0)
        assert longer.read - bare.read == size


def test_all_that_is_sent_is_counted_and_every_picture() -> None:
    sent = {"system": "s" * 10, "prompt": "p" * 10, "schema": {"type": "object"}, "max_tokens": 2000}
    without = most_tokens(WORDS, {**sent, "schema": {}}, pictures=0)
    whole = most_tokens(WORDS, sent, pictures=3)
    assert whole.read - without.read == len('"type":"object"') + 3 * 100
    unknown = WORDS.model_copy(update={"picture_tokens": None})
    assert most_tokens(unknown, sent, pictures=3).read - whole.read == 3 * (PICTURE_TOKENS - 100)


@pytest.mark.parametrize(
    ("limit", "wrote"),
    [(4096, 4096), (32_000, 32_000), (256, LEAST_WRITTEN), (None, MOST_WRITTEN), ("x", MOST_WRITTEN)],
)
def test_it_may_have_written_all_that_it_was_allowed_to(limit: Any, wrote: int) -> None:
    assert most_tokens(WORDS, {"prompt": "x", "max_tokens": limit}, pictures=0).wrote == wrote


def test_what_providers_ask_for_by_themselves_is_within_it() -> None:
    assert LEAST_TOKENS == LEAST_WRITTEN and MAX_TOKENS <= MOST_WRITTEN


def words(task: str, model: str, route: int = 0) -> Job:
    """A job in words whose last attempt is on this route of its model."""
    request: LanguageRequest = REQUESTS[task].model_validate({**ASKED[task], "model": model})
    found = CATALOGUE.find(model)
    on = found.routes[route]
    attempt = Attempt(1, on.provider, on.endpoint, 1.0)
    asked = request.model_dump(mode="json")
    return Job("a", task, "generation", asked, request.step(found), Options(), 1.0, attempts=(attempt,))


@pytest.mark.parametrize("task", ASKED)
@pytest.mark.parametrize("route", [0, 1, 2])
def test_words_that_were_lost_cost_what_was_sent_and_all_that_might_come(task: str, route: int) -> None:
    job = words(task, "claude-haiku-5-5", route)
    cost = cost_of_sent(job)
    usd_read, usd_wrote, picture = ((0.1, 0.5, 4784), (0.3, 2.5, 1120), (0.3, 2.5, 1120))[route]
    pictures = len(REQUESTS[task].model_validate(job.request).pictures)
    assert cost.usd and cost.units and (cost.per, cost.certainty, cost.lower_usd) == ("token", "estimated", 0.0)
    read = cost.units - 4096
    assert FRAME_TOKENS + pictures * picture < read < FRAME_TOKENS + pictures * picture + 8000
    assert cost.upper_usd == pytest.approx((read * usd_read + 4096 * usd_wrote) / 1_000_000)
    assert cost.usd < cost.upper_usd / 2, "the likely sum is nearer to a bill"


def test_a_repair_costs_more_because_it_sends_the_bad_answer() -> None:
    job = words("language.caption", "claude-haiku-5-5")
    first = cost_of_sent(job)
    again = cost_of_sent(replace(job, bad_answer={"answer": "x" * 900, "complaint": ["captions: missing"]}))
    assert first and again and first.units and again.units and again.units > first.units + 900


@pytest.mark.parametrize(
    ("arguments", "cost"),
    [
        ({}, Cost(0.4, 8, "second", True, 0.0, 0.4)),
        ({"duration_s": 4}, Cost(0.2, 4, "second", True, 0.0, 0.2)),
    ],
)
def test_a_video_of_no_given_length_may_have_been_the_longest(arguments: dict[str, Any], cost: Cost) -> None:
    attempt = Attempt(1, "vertex", "veo-3.1-lite-generate-001", 1.0)
    step = Step("veo-3.1-lite", {"prompt": "x", "image": "u", **arguments}, ())
    assert cost_of_sent(Job("a", "t", "q", {}, step, Options(), 1.0, attempts=(attempt,))) == cost


AT_ONCE = [
    (model.name, route.provider, route.endpoint)
    for model in CATALOGUE.models
    for route in model.routes
    if route.provider in {"vertex", "gemini", "anthropic"}
]


def test_no_route_past_fal_is_lost_for_nothing(subtests: pytest.Subtests) -> None:
    for name, provider, endpoint in AT_ONCE:
        with subtests.test(name=name, provider=provider, endpoint=endpoint):
            step = Step(name, {"prompt": "x"}, ())
            job = Job("a", "t", "q", {}, step, Options(), 1.0, attempts=(Attempt(1, provider, endpoint, 1.0),))
            cost = cost_of_sent(job)
            assert cost.usd and cost.upper_usd and 0 < cost.usd <= cost.upper_usd and cost.certainty == "estimated"


def test_tokens_add_up() -> None:
    assert Tokens(1, 2, 3, 4) + Tokens(10, 20, 30, 40) == Tokens(11, 22, 33, 44)


@pytest.fixture
def world() -> World:
    return world_of_two(anthropic=FakeAtOnce("anthropic", LOST))


async def accept(world: World, **options: Any) -> None:
    job = words("language.caption", "claude-haiku-5-5")
    await world.accept_step(job.step, job.task, request=dict(job.request), **options)


def costs(row: Job) -> list[float | None]:
    return [attempt.cost.usd if attempt.cost else None for attempt in row.attempts]


async def test_words_that_are_lost_twice_are_on_the_bill_twice_and_the_story_says_that_they_may_be(
    world: World,
) -> None:
    await accept(world)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.error and row.error.code) == (Stage.FAILED, "submit_unknown")
    one, total = cost_of_sent(row), total_cost(row)
    assert one.upper_usd and costs(row) == [one.usd] * 2
    assert (total.lower_usd, total.upper_usd) == (0.0, pytest.approx(2 * one.upper_usd))
    told = money(row)
    assert told.startswith("billed between 0.0000 and 0.00")
    assert "attempt 1 may have been taken and billed between" in told
    assert "attempt 2 may have been taken and billed between" in told


async def test_a_call_whose_worker_vanished_is_booked_by_its_references_alone(world: World) -> None:
    await accept(world)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    attempt = Attempt(1, "anthropic", "claude-haiku-5-5", world.now)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), 8.0)
    world.now += 9
    while len((row := await world.turn()).attempts) == 1:
        world.now += 0.5
    assert row.attempts[0].cost and row.attempts[0].cost.units
    assert row.attempts[0].cost.units > 2 * 4784 + 4096, "two pictures, and what it may have written"


async def test_a_deadline_in_the_middle_of_the_doubt_books_it_too(world: World) -> None:
    await accept(world, deadline_s=20)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    attempt = Attempt(1, "anthropic", "claude-haiku-5-5", world.now)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), 8.0)
    world.now += 9
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "deadline_exceeded"
    (usd,) = costs(row)
    assert usd and usd > 0


async def test_a_row_that_kills_its_workers_in_the_middle_of_a_call_books_it_too(world: World) -> None:
    await accept(world)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    attempt = Attempt(1, "anthropic", "claude-haiku-5-5", world.now)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), 8.0)
    for _ in range(STRIKES):
        world.now += 9
        await world.ledger.claim(["generation"], 1, 8.0)
    world.now += 9
    row = await world.turn()
    assert row.error and row.error.code == "internal"
    (usd,) = costs(row)
    assert usd and usd > 0


async def test_a_provider_that_this_worker_does_not_have_cannot_have_shown_it(world: World) -> None:
    await accept(world)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    attempt = Attempt(1, "anthropic", "claude-haiku-5-5", world.now)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), 8.0)
    del world.providers["anthropic"]
    world.now += 9
    while (row := await world.turn()).stage in {Stage.SUBMITTING, Stage.UNKNOWN}:
        world.now += 0.5
    assert costs(row)[0]


@pytest.mark.parametrize(
    ("extra", "upper"),
    [
        ({}, 0.08),
        ({"safety_tolerance": "5"}, 0.08),
        ({"resolution": "4K"}, 0.16),
        ({"resolution": "8K"}, None),
        ({"enable_web_search": True}, None),  # 0.015 more, by fal's page
    ],
)
def test_what_extra_may_change_has_no_upper_bound(extra: dict[str, Any], upper: float | None) -> None:
    model = CATALOGUE.find("nano-banana-2")
    step = Step("nano-banana-2", {"prompt": "x"}, (), extra)
    sent = arguments_for(model.first_route, step.arguments, step.extra)
    assert possible_cost(model, model.first_route, step, sent).upper_usd == upper


def test_an_endpoint_without_a_price_may_cost_anything() -> None:
    model = CATALOGUE.find("sdxl")
    cost = possible_cost(model, model.first_route, Step("sdxl", {"prompt": "x"}, ()), {"prompt": "x"})
    assert (cost.usd, cost.upper_usd, cost.certainty) == (None, None, "unknown")


def test_a_long_prompt_has_its_own_price() -> None:
    price = CATALOGUE.find("claude-haiku-5-5").first_route.price
    assert price and price.usd_of_tokens(100_000, 1000) == 0.0105
    assert price.usd_of_tokens(100_001, 1000) == pytest.approx(0.0525, rel=1e-4)
