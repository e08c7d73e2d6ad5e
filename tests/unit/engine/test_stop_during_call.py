"""A worker that stops in the middle of a call whose answer nobody else can get: the row does not wait for its lease."""

import asyncio

import pytest

from tests.unit.engine.world import World
from worker.jobs.job import Duplicates, Stage, Ticket
from worker.providers.base import Call


@pytest.fixture
def world() -> World:
    """One job, whose call hangs at a provider that lists no requests."""
    world = World()
    world.fal.lists_requests = False
    return world


async def _stopped_in_call(world: World, *, duplicates: Duplicates = "never") -> None:
    real = world.fal.submit
    began = asyncio.Event()

    async def hangs(call: Call) -> Ticket:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    await world.accept(given={"seed": 5}, duplicates=duplicates)
    world.fal.submit = hangs  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    await asyncio.wait_for(began.wait(), 60)
    await world.dispatcher.stop(0.0, 0.0)
    world.fal.submit = real  # type: ignore[method-assign]


async def test_the_row_is_unknown_at_once_when_we_close_the_call(world: World) -> None:
    await _stopped_in_call(world)
    row = await world.row()
    assert row.stage == Stage.UNKNOWN
    assert row.attempts[0].error and row.attempts[0].error.code == "submit_unknown"


async def test_a_provider_that_lists_its_requests_is_searched_as_after_a_crash(world: World) -> None:
    world.fal.lists_requests = True
    await _stopped_in_call(world)
    assert (await world.row()).stage == Stage.SUBMITTING


async def test_another_worker_ends_the_job_within_seconds(world: World) -> None:
    await _stopped_in_call(world)
    world.now += 1
    row = await world.turn(world.another())
    assert row.ending == Stage.FAILED
    assert row.error and row.error.code == "submit_unknown"
    assert "stopped" in row.error.message


async def test_another_worker_repeats_the_job_at_once_where_duplicates_are_allowed(world: World) -> None:
    await _stopped_in_call(world, duplicates="allow")
    world.now += 1
    dispatcher = world.another()
    await world.turn(dispatcher)
    world.now += 1
    row = await world.turn(dispatcher)
    assert len(row.attempts) == 2
    assert row.attempts[1].possible_duplicate
