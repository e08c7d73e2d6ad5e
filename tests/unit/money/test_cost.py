"""What a step would cost by the catalogue, and what an attempt has cost: each route has its own price."""

from dataclasses import replace
from typing import Any

import pytest

from config.catalogue import Price, load_catalogue
from worker.errors import ContentRefusedError, SubmitUnknownError
from worker.jobs.cost import NOTHING_BILLED, Cost
from worker.jobs.job import Attempt, Job, Options, Piece, Step
from worker.money.cost import cost_of, estimate_usd
from worker.providers.base import ListPrice, Reply, RunFailure, Tokens
from worker.routing.served import Served

CATALOGUE = load_catalogue()


@pytest.mark.parametrize(
    ("model", "arguments", "usd"),
    [
        ("flux-schnell", {"image_size": "square_hd"}, 0.006),  # 1.05 megapixels are billed as two
        ("flux-schnell", {"image_size": "landscape_4_3", "num_images": 3}, 0.009),
        ("flux-dev", {"image_size": {"width": 2000, "height": 1000}, "num_images": 2}, 0.1),
        ("flux-dev", {}, 0.025),
        ("nano-banana-2", {"num_images": 4, "image_size": "square_hd"}, 0.32),
        ("veo-3.1-fast", {"duration_s": 8}, 0.8),
        ("veo-3.1-fast", {}, None),
        ("veo-3.1-lite", {"duration_s": 8}, None),
        ("sdxl", {"num_images": 2}, None),
        ("someone/some-model", {"num_images": 2}, None),
    ],
)
def test_a_step_is_estimated_from_its_arguments(model: str, arguments: dict[str, Any], usd: float | None) -> None:
    assert estimate_usd(CATALOGUE.find(model), Step(model, arguments, ())) == usd


@pytest.mark.parametrize(
    ("name", "per", "arguments", "usd"),
    [
        ("flux-lora-training", "step", {"steps": 1000}, 2.0),
        ("flux-lora-training", "step", {}, None),
        ("sdxl", "request", {}, 0.002),
        ("seedance-2.0", "second", {"duration_s": 4}, 0.008),
    ],
)
def test_every_unit_of_a_price_is_counted(name: str, per: Any, arguments: dict[str, Any], usd: float | None) -> None:
    model = CATALOGUE.find(name).model_copy(update={"price": Price(usd=0.002, per=per)})
    assert estimate_usd(model, Step(name, arguments, ())) == usd


def on(model: str, route: int, arguments: dict[str, Any] | None = None, **extra: Any) -> Job:
    """A job whose last attempt is on this route of its model."""
    found = CATALOGUE.find(model).routes[route]
    step = Step(model, {"prompt": "x", **(arguments or {})}, (), extra)
    return Job("a", "t", "q", {}, step, Options(), 1.0, attempts=(Attempt(1, found.provider, found.endpoint, 1.0),))


def cost(job: Job, outcome: Reply | RunFailure) -> Cost | None:
    return cost_of(Served(CATALOGUE, job), outcome)


@pytest.mark.parametrize(
    ("model", "route", "arguments", "units", "usd", "per"),
    [
        ("flux-schnell", 0, {}, 2, 0.006, "megapixel"),
        ("nano-banana-2", 0, {}, 1, 0.08, "image"),
        ("nano-banana-2", 0, {"image_size": {"width": 2048, "height": 2048}}, 1.5, 0.12, "image"),
        ("veo-3.1-fast", 1, {"duration_s": 8}, 8, 0.4, "second"),
    ],
)
def test_units_cost_what_the_route_that_billed_them_asks(
    model: str, route: int, arguments: dict[str, Any], units: float, usd: float, per: str
) -> None:
    assert cost(on(model, route, arguments), Reply({}, billed_units=units)) == Cost(usd, units, per, estimated=False)


@pytest.mark.parametrize(
    ("model", "route", "tokens", "usd"),
    [
        (
            "flux-schnell",
            1,
            Tokens(20, 260, 1120),
            0.0336 + 20 * 1.5e-6 + 260 * 7.5e-6,
        ),  # 0.0355: what a driver was billed
        ("nano-banana-2", 1, Tokens(20, 260, 1680), 0.1008 + 20 * 0.5e-6 + 260 * 3e-6),
        ("nano-banana-pro", 1, Tokens(20, 260, 2000), 0.24 + 20 * 2e-6 + 260 * 12e-6),
    ],
)
def test_a_picture_of_google_costs_what_was_read_written_and_drawn(
    model: str, route: int, tokens: Tokens, usd: float
) -> None:
    found = cost(on(model, route), Reply({}, billed_units=1, tokens=tokens))
    assert found == Cost(round(usd, 9), 1, "image", estimated=False)


def test_a_picture_without_usage_data_costs_at_least_its_price() -> None:
    found = cost(on("flux-schnell", 1, {"num_images": 2}), Reply({}, billed_units=2))
    assert found and found.upper_usd and (found.usd, found.lower_usd, found.units) == (0.0672, 0.0672, 2)
    assert found.certainty == "estimated" and 0.0672 < found.upper_usd < 0.11


def test_a_video_that_reports_no_seconds_costs_those_that_were_asked_for() -> None:
    reply = Reply({}, billed_as_asked=True)
    assert cost(on("veo-3.1-lite", 1, {"duration_s": 4}), reply) == Cost(0.2, 4, "second", estimated=False)
    assert cost(on("veo-3.1-lite", 1), reply) == Cost(0.4, 8, "second", estimated=False)


def test_tokens_of_a_cache_have_bounds() -> None:
    found = cost(on("claude-haiku-5-5", 0), Reply({}, tokens=Tokens(10_000, 100, cached=4_000)))
    assert found and (found.certainty, found.usd) == ("estimated", 0.00105)
    assert (found.lower_usd, found.upper_usd) == (pytest.approx(0.00065), pytest.approx(0.00145))


@pytest.mark.parametrize(
    ("model", "route", "usd"),
    [
        ("claude-haiku-5-5", 0, 1.0),  # 0.5 for what is read, 2.5 for what is written: a long prompt
        ("claude-sonnet-5-5", 0, 4.0),
        ("claude-haiku-5-5", 1, 0.8),  # 0.3 and 2.5: another vendor's
        ("gemini-3.8-flash", 0, 1.5),
        ("gemini-3.8-flash", 2, 4.0),
    ],
)
def test_tokens_have_a_price_for_reading_and_one_for_writing(model: str, route: int, usd: float) -> None:
    reply = Reply({}, tokens=Tokens(read=1_000_000, wrote=200_000))
    assert cost(on(model, route), reply) == Cost(usd, 1_200_000, "token", estimated=False)


def test_tokens_of_an_endpoint_without_a_price_are_counted_and_not_priced() -> None:
    assert cost(on("flux-schnell", 0), Reply({}, tokens=Tokens(10, 5))) == Cost(None, 15, "token", estimated=True)


def test_units_of_an_endpoint_that_is_paid_by_the_token_are_not_priced() -> None:
    assert cost(on("claude-haiku-5-5", 0), Reply({}, billed_units=3)) == Cost(None, 3, None, estimated=True)


def test_a_refused_run_costs_what_was_billed() -> None:
    assert cost(on("flux-schnell", 0), RunFailure(ContentRefusedError(), 1)) == Cost(0.003, 1, "megapixel", False)
    assert cost(on("flux-schnell", 0), RunFailure(ContentRefusedError(), is_free=True)) == NOTHING_BILLED
    maybe = cost(on("flux-schnell", 0), RunFailure(ContentRefusedError()))
    assert maybe == Cost(0.0, 0.0, "megapixel", True, 0.0, 0.003)


def test_a_refusal_in_words_costs_the_tokens_that_it_says() -> None:
    tokens = Tokens(read=1_000_000, wrote=200_000)
    refused = RunFailure(ContentRefusedError(), tokens=tokens)
    assert cost(on("claude-haiku-5-5", 0), refused) == Cost(1.0, 1_200_000, "token", estimated=False)
    assert cost(on("flux-schnell", 0), refused) == Cost(None, 1_200_000, "token", estimated=True)


def test_a_picture_whose_answer_was_lost_may_be_billed_beside_those_that_came() -> None:
    tokens = Tokens(40, 520, 2240)
    some = Reply({}, billed_units=2, tokens=tokens, missing=(SubmitUnknownError(), ContentRefusedError()))
    of_two = cost(on("flux-schnell", 1), replace(some, missing=(ContentRefusedError(),)))
    assert of_two and of_two.usd and of_two.certainty == "exact"
    found = cost(on("flux-schnell", 1), some)
    assert found and found.upper_usd and (found.certainty, found.lower_usd) == ("estimated", of_two.usd)
    assert of_two.usd + 0.0336 < found.upper_usd < of_two.usd + 0.05


def test_a_route_that_draws_by_ratio_promises_a_shape_and_no_size() -> None:
    piece = Piece("images", "image", "images.*", width=1600, height=900)
    given = {"image_size": {"width": 1600, "height": 900}}
    exact, close = (
        Served(CATALOGUE, replace(job, step=replace(job.step, pieces=(piece,)))).pieces[0]
        for job in (on("flux-schnell", 0, given), on("flux-schnell", 1, given))
    )
    assert exact == piece
    assert (close.width, close.height, close.ratio) == (None, None, 1600 / 900)


@pytest.mark.parametrize("model", ["flux-pro", "someone/some-model"])
def test_without_a_price_the_cost_is_unknown_with_the_billed_units_and_what_the_list_says(model: str) -> None:
    served, reply = Served(CATALOGUE, on(model, 0)), Reply({}, billed_units=3.0)

    unlisted, listed = cost_of(served, reply), cost_of(served, reply, ListPrice(0.04, "megapixels"))

    assert unlisted and (unlisted.usd, unlisted.units, unlisted.certainty) == (None, 3.0, "unknown")
    assert listed and (listed.usd, listed.units, listed.per, listed.certainty) == (0.12, 3.0, "megapixels", "unknown")


def test_the_catalogues_price_is_not_replaced_by_the_list() -> None:
    reply = Reply({}, billed_units=2.0)

    assert cost_of(Served(CATALOGUE, on("flux-schnell", 0)), reply, ListPrice(9.0, "image")) == cost(
        on("flux-schnell", 0), reply
    )
