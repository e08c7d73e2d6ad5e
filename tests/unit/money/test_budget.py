"""`max_usd`: what a job has spent at most, and what the next attempt costs at most, fit together into it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import load_catalogue
from tasks.generation import text_to_image
from worker.errors import InvalidRequestError
from worker.jobs.cost import NOTHING_BILLED, UNKNOWN_COST, Cost, sum_of
from worker.jobs.job import Attempt, Job, Options, Step, Ticket, dump_job, load_job
from worker.jobs.total_cost import total_cost
from worker.money.budget import budget_problem, over_budget, usd_up

CATALOGUE = load_catalogue()
USD = st.floats(0, 100).map(lambda usd: round(usd, 6))
EXACT = USD.map(lambda usd: Cost(usd, 1, "image", estimated=False))
BOUNDED = st.tuples(USD, USD, USD).map(sorted).map(lambda s: Cost(s[1], 1, "image", True, s[0], s[2]))
COSTS = st.one_of(EXACT, BOUNDED, st.just(UNKNOWN_COST), st.just(NOTHING_BILLED))


def job(*costs: Cost, max_usd: float | None = None) -> Job:
    attempts = tuple(
        Attempt(n, "fal", "e", 1.0, Ticket(f"r-{n}"), ended_at=2.0, cost=cost) for n, cost in enumerate(costs, 1)
    )
    return Job("a", "t", "q", {}, Step("m", {}, ()), Options(max_usd=max_usd), 1.0, attempts=attempts)


@given(st.lists(COSTS, max_size=6))
def test_a_sum_lies_between_its_bounds_and_is_exact_only_if_all_parts_are(costs: list[Cost]) -> None:
    total = sum_of(costs)
    assert total.usd is None or total.usd >= total.lower_usd - 1e-6
    assert total.upper_usd is None or total.lower_usd <= (total.usd or total.lower_usd) <= total.upper_usd + 1e-6
    parts = {cost.certainty for cost in costs}
    wanted = "unknown" if "unknown" in parts else "estimated" if "estimated" in parts else "exact"
    assert total.certainty == wanted


@given(st.lists(COSTS, max_size=4), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_whatever_is_billed_within_the_parts_is_within_the_sum(costs: list[Cost], shares: list[float]) -> None:
    bills = [
        cost.lower_usd + share * ((cost.upper_usd if cost.upper_usd is not None else 1000.0) - cost.lower_usd)
        for cost, share in zip(costs, shares, strict=False)
    ]
    total = sum_of(costs)
    assert total.lower_usd - 1e-6 <= sum(bills) <= (sum(bills) if total.upper_usd is None else total.upper_usd) + 1e-6


@given(st.lists(COSTS, max_size=4), COSTS, st.floats(0.001, 300))
def test_an_attempt_that_may_begin_cannot_take_the_job_above_its_limit(
    before: list[Cost], following: Cost, limit: float
) -> None:
    if over_budget(job(*before, max_usd=limit), following) is None:
        uppers = [cost.upper_usd for cost in (*before, following)]
        assert sum(upper for upper in uppers if upper is not None) <= limit + 1e-6 and None not in uppers


@given(COSTS)
def test_a_row_keeps_a_cost_with_its_bounds(cost: Cost) -> None:
    assert total_cost(load_job(dump_job(job(cost)))) == total_cost(job(cost))


def test_a_row_of_the_version_before_is_read() -> None:
    raw = dump_job(job(Cost(0.006, 2, "megapixel", estimated=False))).decode()
    old = raw.replace(',"lower_usd":0.006,"upper_usd":0.006', "")
    assert old != raw and total_cost(load_job(old)).certainty == "exact"
    assert total_cost(load_job(old.replace('"estimated":false', '"estimated":true'))).certainty == "unknown"


@given(USD)
def test_a_sum_in_an_error_is_never_too_small(usd: float) -> None:
    assert float(usd_up(usd)) >= usd - 1e-9


@pytest.mark.parametrize(
    ("model", "options", "problem"),
    [
        ("flux-schnell", {"max_usd": 0.003}, None),
        ("flux-schnell", {"max_usd": 0.001}, "fal-ai/flux/schnell of fal may cost up to 0.0030 USD"),
        ("flux-schnell", {"max_usd": 0.001}, "gemini-nano-banana-2.1 of vertex may cost up to"),
        ("flux-schnell", {"max_usd": 0.05, "provider": "vertex"}, None),
        ("flux-schnell", {"max_usd": 0.01, "providers": ("vertex",)}, "of vertex may cost up to 0.0"),
        ("sdxl", {"max_usd": 0.05}, None),  # its fallback has a price
        ("sdxl", {"max_usd": 0.05, "fallback": False}, "the price of fal-ai/fast-sdxl of fal is not known"),
        ("someone/some-model", {"max_usd": 100.0}, "the price of someone/some-model of fal is not known"),
        ("someone/some-model", {}, None),
    ],
)
def test_a_request_that_no_route_serves_within_its_limit_is_refused(
    model: str, options: dict[str, Any], problem: str | None
) -> None:
    found = budget_problem(CATALOGUE.find(model), Step(model, {"prompt": "x"}, ()), Options(**options))
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_delay_names_the_field_the_price_and_the_limit() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        text_to_image._read({"prompt": "x", "max_usd": 0.001})
    assert "max_usd: is 0.001 USD, and fal-ai/flux/schnell of fal may cost up to 0.0030 USD" in str(caught.value)


@pytest.mark.parametrize("max_usd", [0, -1, float("inf"), float("nan"), "1", True])
def test_a_limit_is_a_positive_number(max_usd: Any) -> None:
    with pytest.raises(InvalidRequestError, match="max_usd"):
        text_to_image._read({"prompt": "x", "max_usd": max_usd})


def test_the_limit_of_a_pipeline_is_kept_by_its_steps() -> None:
    pipeline = replace(job(max_usd=0.01), step=Step("pipeline:editing.sticker", {}, ()))
    assert over_budget(pipeline, UNKNOWN_COST) is None
    assert over_budget(job(max_usd=0.01), UNKNOWN_COST)
