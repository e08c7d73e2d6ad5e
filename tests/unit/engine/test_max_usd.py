"""`max_usd`: no attempt, fallback or repeat begins that could take the job above it, and the error says why."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.fakes import DONE, PICTURE, FakeAtOnce
from tests.unit.engine.world import World, world_of_two
from worker.errors import ContentRefusedError, ServiceUnavailableError, SubmitUnknownError
from worker.jobs.cost import NOTHING_BILLED
from worker.jobs.job import Attempt, Job, Stage, Ticket
from worker.jobs.total_cost import total_cost
from worker.providers.base import Queued, RunFailure, Running, Tokens

AWAY = ServiceUnavailableError("fal: HTTP 503", provider="fal")
FAILED = RunFailure(ServiceUnavailableError("fal: HTTP 500", provider="fal"), billed_units=1)


@pytest.fixture
def world() -> World:
    return world_of_two()


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


async def end(world: World, **options: Any) -> Job:
    await world.accept(**options)
    return await world.until(Stage.CLOSING)


async def test_a_dearer_fallback_is_not_begun_and_is_named_in_the_error(world: World) -> None:
    world.fal.submits = [AWAY]
    row = await end(world, max_usd=0.02)
    assert (row.ending, vertex(world).sent) == (Stage.FAILED, [])
    assert row.error and row.error.code == "service_unavailable"
    assert "gemini-nano-banana-2.1 of vertex refused: it may cost up to 0.0492 USD, and max_usd is 0.02" in (
        row.error.message
    )
    assert total_cost(row).certainty == "exact" and total_cost(row).usd == 0


async def test_a_fallback_that_fits_is_taken(world: World) -> None:
    world.fal.submits = [AWAY]
    row = await end(world, max_usd=0.05)
    assert (row.ending, len(vertex(world).sent)) == (Stage.COMPLETED, 1)


async def test_a_fallback_fits_only_beside_what_is_spent(world: World) -> None:
    world.fal.results = [FAILED]
    row = await end(world, max_usd=0.053)
    assert vertex(world).sent == [] and row.error
    assert "it may cost up to 0.0492 USD after 0.0090 for earlier attempts, and max_usd is 0.053" in row.error.message


async def test_a_repeat_that_does_not_fit_ends_the_job(world: World) -> None:
    world.fal.results = [FAILED, DONE]
    row = await end(world, max_usd=0.005, fallback=False)
    assert (row.ending, world.fal.calls.count("submit")) == (Stage.FAILED, 1)
    assert row.error and row.error.code == "over_budget"
    assert "fal: HTTP 500" in row.error.message and "after 0.0030 for earlier attempts" in row.error.message
    assert total_cost(row).usd == 0.003


async def test_a_lost_submission_counts_with_the_most_that_it_may_cost(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("fal: no answer", provider="fal"), Ticket("r-2")]
    row = await end(world, max_usd=0.005, fallback=False)
    assert (row.ending, world.fal.calls.count("submit")) == (Stage.FAILED, 1)
    assert row.error and row.error.code in {"over_budget", "submit_unknown"}
    total = total_cost(row)
    assert (total.lower_usd, total.upper_usd, total.certainty) == (0.0, 0.003, "estimated")


async def test_a_price_that_is_not_known_counts_as_above(world: World) -> None:
    await world.accept("sdxl", max_usd=100.0, fallback=False)
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls == [] and row.error and row.error.code == "over_budget"
    assert "its price is not known, and max_usd is 100" in row.error.message


async def test_a_cheaper_fallback_serves_where_the_first_route_is_too_dear(world: World) -> None:
    await world.accept("nano-banana-2", max_usd=0.075)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls, len(vertex(world).sent)) == (Stage.COMPLETED, [], 1)


async def test_earlier_attempts_of_an_older_version_have_no_known_limit(world: World) -> None:
    job = await world.accept(max_usd=100.0)
    old = Attempt(1, "fal", "fal-ai/flux/schnell", 1.0, Ticket("r-0"), ended_at=2.0)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    await world.ledger.keep(claim, replace(job, attempts=(old,)), 8.0)
    world.now += 9
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls == [] and row.error and row.error.code == "over_budget"
    assert "the cost of earlier attempts is not known" in row.error.message


async def test_a_refused_attempt_costs_nothing_and_leaves_the_whole_limit(world: World) -> None:
    world.fal.submits = [AWAY, AWAY, Ticket("r-3")]
    row = await end(world, max_usd=0.0035, fallback=False)
    assert row.ending == Stage.COMPLETED
    assert [attempt.cost is None for attempt in row.attempts] == [True, True, False]


async def test_every_attempt_is_booked_before_its_post(world: World) -> None:
    seen: list[float | None] = []
    world.fal.before_submit = lambda: seen.append(world.ledger.rows["a"].job.attempts[-1].cost.upper_usd)  # type: ignore[union-attr]
    await end(world)
    assert seen == [0.003]


async def test_a_run_that_is_asked_to_leave_its_queue_costs_nothing(world: World) -> None:
    world.fal.polls = [Queued(3)]
    row = await end(world, max_queue_s=5, max_usd=0.05)
    assert (row.attempts[0].cost, row.ending) == (NOTHING_BILLED, Stage.COMPLETED)
    assert [attempt.provider for attempt in row.attempts] == ["fal", "vertex"]


async def test_a_run_that_never_ended_may_have_cost_its_price(world: World) -> None:
    world.fal.polls = [Running()]
    row = await end(world, deadline_s=30)
    assert row.error and row.error.code == "deadline_exceeded"
    assert total_cost(row).upper_usd in {0.0, 0.003}


async def test_the_total_is_the_sum_of_lost_failed_and_good_attempts(world: World) -> None:
    refused = RunFailure(ContentRefusedError("no", provider="vertex"), tokens=Tokens(20, 260))
    vertex(world).submits = [
        refused,
        replace(PICTURE, tokens=Tokens(20, 260, 1120)),
    ]
    row = await end(world, provider="vertex", fallback_on_policy=True)
    total = dict(row.result or {})["total_cost"]
    assert total["certainty"] == "exact"
    assert total["usd"] == pytest.approx(sum(attempt.cost.usd or 0 for attempt in row.attempts if attempt.cost))
    assert total["usd"] > dict(row.result or {})["cost"]["usd"]
