"""What a step would cost by the catalogue, and what an attempt has cost: each route has its own price."""

from dataclasses import replace
from typing import Any

import pytest

from config.catalogue import Price, load_catalogue
from worker.errors import ContentRefusedError, SubmitUnknownError
from worker.jobs.job import Attempt, Cost, Job, Options, Piece, Step
from worker.money.cost import cost_of, estimate_usd, estimated_cost
from worker.providers.base import Reply, RunFailure, Tokens
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
        ("sdxl", {"num_images": 2}, None),
        ("someone/some-model", {"num_images": 2}, None),
    ],
)
def test_a_step_is_estimated_from_its_arguments(model: str, arguments: dict[str, Any], usd: float | None) -> None:
    assert estimate_usd(CATALOGUE.find(model), Step(model, arguments, ())) == usd


@pytest.mark.parametrize(
    ("per", "arguments", "usd"),
    [("step", {"steps": 1000}, 2.0), ("step", {}, None), ("request", {}, 0.002), ("second", {"duration_s": 4}, 0.008)],
)
def test_every_unit_of_a_price_is_counted(per: Any, arguments: dict[str, Any], usd: float | None) -> None:
    model = CATALOGUE.find("sdxl").model_copy(update={"price": Price(usd=0.002, per=per)})
    assert estimate_usd(model, Step("sdxl", arguments, ())) == usd


def on(model: str, route: int, arguments: dict[str, Any] | None = None, **extra: Any) -> Job:
    """A job whose last attempt is on this route of its model."""
    found = CATALOGUE.find(model).routes[route]
    step = Step(model, {"prompt": "x", **(arguments or {})}, (), extra)
    return Job("a", "t", "q", {}, step, Options(), 1.0, attempts=(Attempt(1, found.provider, found.endpoint, 1.0),))


def estimated(job: Job) -> Cost | None:
    served = Served(CATALOGUE, job)
    return estimated_cost(served.model, served.route, job.step)


def cost(job: Job, outcome: Reply | RunFailure) -> Cost | None:
    return cost_of(Served(CATALOGUE, job), outcome)


@pytest.mark.parametrize(
    ("model", "route", "arguments", "units", "usd", "per"),
    [
        ("flux-schnell", 0, {}, 2, 0.006, "megapixel"),
        ("flux-schnell", 1, {}, 2, 0.0672, "image"),
        ("flux-schnell", 1, {"image_size": {"width": 2048, "height": 2048}}, 1, 0.0504, "image"),
        ("nano-banana-2", 0, {}, 1, 0.08, "image"),
        ("nano-banana-2", 1, {}, 1, 0.0672, "image"),
        ("nano-banana-2", 2, {}, 1, 0.0336, "image"),
        ("nano-banana-pro", 1, {"image_size": {"width": 4096, "height": 4096}}, 1, 0.24, "image"),
        ("veo-3.1-fast", 1, {"duration_s": 8}, 8, 0.4, "second"),
    ],
)
def test_units_cost_what_the_route_that_billed_them_asks(
    model: str, route: int, arguments: dict[str, Any], units: float, usd: float, per: str
) -> None:
    assert cost(on(model, route, arguments), Reply({}, billed_units=units)) == Cost(usd, units, per, estimated=False)


@pytest.mark.parametrize(
    ("model", "route", "usd"),
    [
        ("claude-haiku-5-5", 0, 0.2),  # 0.1 for what is read, 0.5 for what is written
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


def test_a_refused_run_costs_what_was_billed_and_no_more_is_made_up() -> None:
    assert cost(on("flux-schnell", 1), RunFailure(ContentRefusedError(), 1)) == Cost(
        0.0336, 1, "image", estimated=False
    )
    assert cost(on("flux-schnell", 1), RunFailure(ContentRefusedError())) is None


def test_a_refusal_in_words_costs_the_tokens_that_it_says() -> None:
    tokens = Tokens(read=1_000_000, wrote=200_000)
    refused = RunFailure(ContentRefusedError(), tokens=tokens)
    assert cost(on("claude-haiku-5-5", 0), refused) == Cost(0.2, 1_200_000, "token", estimated=False)
    assert cost(on("flux-schnell", 1), refused) == Cost(None, 1_200_000, "token", estimated=True)


def test_a_picture_whose_answer_was_lost_may_be_billed_beside_those_that_came() -> None:
    some = Reply({}, billed_units=2, missing=(SubmitUnknownError(), ContentRefusedError()))
    assert cost(on("flux-schnell", 1), some) == Cost(0.1008, 3, "image", estimated=True)
    refused = replace(some, missing=(ContentRefusedError(),))
    assert cost(on("flux-schnell", 1), refused) == Cost(0.0672, 2, "image", estimated=False)


def test_what_a_run_should_have_cost_is_estimated_by_its_route() -> None:
    assert estimated(on("flux-schnell", 1, {"num_images": 3})) == Cost(0.1008, 3, "image", estimated=True)
    assert estimated(on("flux-schnell", 0)) == Cost(0.003, 1, "megapixel", estimated=True)


def test_a_route_that_draws_by_ratio_promises_a_shape_and_no_size() -> None:
    piece = Piece("images", "image", "images.*", width=1600, height=900)
    given = {"image_size": {"width": 1600, "height": 900}}
    exact, close = (
        Served(CATALOGUE, replace(job, step=replace(job.step, pieces=(piece,)))).pieces[0]
        for job in (on("flux-schnell", 0, given), on("flux-schnell", 1, given))
    )
    assert exact == piece
    assert (close.width, close.height, close.ratio) == (None, None, 1600 / 900)
