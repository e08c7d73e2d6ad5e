"""Cancels and deadlines: what the provider is told, how the job ends, and what its receipt says."""

import pytest

from tests.unit.engine.fakes import DONE
from tests.unit.engine.world import World
from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.explain.history import receipt_text
from worker.jobs.job import Job, Stage
from worker.providers.base import RUN_CANCELLED, CancelResult, Ended, RunFailure, Running


@pytest.fixture
def world() -> World:
    return World()


GONE = RunFailure(RequestRefusedError("cancelled", provider="fal", kind=RUN_CANCELLED))


async def cancel(world: World) -> Job:
    await world.accept()
    await world.turn()
    await world.ledger.signal("a", "cancel")
    return await world.turn()


async def test_a_cancelled_job_that_waits_is_cancelled_at_the_provider(world: World) -> None:
    world.fal.polls = [Running()]
    row = await cancel(world)
    assert (row.stage, row.ending) == (Stage.CLOSING, Stage.CANCELLED)
    assert world.fal.calls[-1] == "cancel"
    assert row.receipt and receipt_text(row.receipt) == "stopped in time; nothing was billed"


async def test_a_cancelled_job_that_was_not_submitted_never_is(world: World) -> None:
    await world.accept()
    await world.ledger.signal("a", "cancel")
    row = await world.turn()
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, True)
    assert world.fal.calls == []


async def test_a_job_cancelled_too_late_keeps_its_piece_and_says_what_it_cost(world: World) -> None:
    world.fal.cancels = [CancelResult.TOO_LATE]
    row = await cancel(world)
    assert (row.stage, row.ending) == (Stage.CLOSING, Stage.CANCELLED)
    assert row.artefacts and row.result and row.result["images"]
    assert row.receipt and receipt_text(row.receipt) == "cancelled too late; billed 0.0060 USD; its files are kept"


async def test_a_run_that_was_asked_to_stop_is_followed_until_it_has(world: World) -> None:
    world.fal.cancels, world.fal.polls, world.fal.results = (
        [CancelResult.ASKED],
        [Running(), Running(), Ended()],
        [GONE],
    )
    row = await cancel(world)
    assert row.stage == Stage.WAITING
    row = await world.until(Stage.CLOSING, seconds=5)
    assert world.fal.calls.count("cancel") == 1
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, True)


async def test_a_run_that_ends_well_all_the_same_was_cancelled_too_late(world: World) -> None:
    world.fal.cancels, world.fal.polls, world.fal.results = [CancelResult.ASKED], [Running(), Ended()], [DONE]
    await cancel(world)
    row = await world.until(Stage.CLOSING, seconds=5)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, False)
    assert row.artefacts


async def test_a_run_that_had_failed_before_it_was_told_to_stop_was_not_stopped_in_time(world: World) -> None:
    refused = RunFailure(RequestRefusedError("not this", provider="fal", status=422), billed_units=2)
    world.fal.cancels, world.fal.results = [CancelResult.TOO_LATE], [refused]
    row = await cancel(world)
    assert (row.ending, row.artefacts, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, (), False)
    assert row.history[-1].text == "cancelled; cancelled too late; billed 0.0060 USD; there are no files"


async def test_a_run_that_never_stops_is_left_after_a_while(world: World) -> None:
    world.fal.cancels, world.fal.polls = [CancelResult.ASKED], [Running()]
    await cancel(world)
    row = await world.until(Stage.CLOSING, seconds=15)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, None)
    assert row.receipt and "never said" in receipt_text(row.receipt)


async def test_a_provider_out_of_reach_is_told_again_for_a_while(world: World) -> None:
    world.fal.polls = [Running()]
    world.fal.cancels = [ServiceUnavailableError("away"), ServiceUnavailableError("away"), CancelResult.STOPPED]
    await cancel(world)
    row = await world.until(Stage.CLOSING, seconds=10)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, True)
    assert world.fal.calls.count("cancel") == 3


async def test_a_provider_that_stays_out_of_reach_does_not_hold_the_job(world: World) -> None:
    world.fal.polls = [Running()]
    world.fal.cancels = [ServiceUnavailableError("away")]
    await cancel(world)
    row = await world.until(Stage.CLOSING, seconds=40)
    assert (row.ending, row.receipt and row.receipt.told) == (Stage.CANCELLED, False)


async def test_a_cancel_while_files_are_stored_ends_as_cancelled_with_them(world: World) -> None:
    await world.accept()
    world.fetcher.errors = [ServiceUnavailableError("the CDN is slow")]
    while (row := await world.turn()).stage != Stage.FETCHED:
        world.now += 0.5
    await world.ledger.signal("a", "cancel")
    row = await world.until(Stage.CLOSING, seconds=5)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, False)
    assert row.artefacts


async def test_an_ending_that_is_decided_is_not_cancelled(world: World) -> None:
    await world.accept()
    row = await world.until(Stage.CLOSING)
    await world.ledger.signal("a", "cancel")
    world.now += 30
    row = await world.turn()
    assert row.ending == Stage.COMPLETED


async def test_a_deadline_ends_the_job_and_cancels_it_at_the_provider(world: World) -> None:
    world.fal.polls = [Running()]
    await world.accept(deadline_s=30.0)
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "deadline_exceeded"
    assert world.fal.calls[-1] == "cancel"
    assert row.closed_at and 1030 < row.closed_at < 1050


async def test_what_ended_before_the_deadline_was_told_is_kept_as_a_success(world: World) -> None:
    world.fal.polls, world.fal.cancels = [Running(), Ended()], [CancelResult.TOO_LATE]
    await world.accept(deadline_s=1.0)
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED


async def test_a_run_that_failed_by_itself_was_not_stopped_in_time(world: World) -> None:
    world.fal.cancels, world.fal.polls = [CancelResult.ASKED], [Running(), Ended()]
    world.fal.results = [RunFailure(RequestRefusedError("bad input", provider="fal", status=422), billed_units=1)]
    await cancel(world)
    row = await world.until(Stage.CLOSING, seconds=5)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, False)
    assert row.receipt and row.receipt.cost and row.receipt.cost.usd == 0.003
