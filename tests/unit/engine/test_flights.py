"""A submission that was let go is always told of: else a probe blocks its circuit, and a flight its provider's room."""

import asyncio
from typing import Any

import pytest

from tests.unit.engine.world import World, world_of_two
from worker.errors import ContentRefusedError
from worker.jobs.job import Job, Stage
from worker.ledger.base import Claim
from worker.providers.base import Call, RunFailure


@pytest.fixture
def world() -> World:
    return world_of_two()


def told_once(world: World) -> bool:
    return (len(world.health.gone), world.health.leaks()) == (1, [])  # type: ignore[union-attr]


async def test_an_intent_that_cannot_be_written_leaks_no_flight(world: World) -> None:
    real = world.ledger.keep

    async def keep(claim: Claim, job: Job, lease_s: float) -> None:
        if job.stage == Stage.SUBMITTING:
            world.ledger.rows["a"].fence += 1
        await real(claim, job, lease_s)

    world.ledger.keep = keep  # type: ignore[method-assign]
    await world.accept()
    await world.turn()
    assert world.fal.calls == []
    assert told_once(world)


async def test_a_defect_in_the_call_leaks_no_flight(world: World) -> None:
    world.fal.submits = [RuntimeError("a bug")]
    await world.accept()
    await world.turn()
    assert told_once(world)


async def test_a_claim_lost_during_the_call_leaks_no_flight(world: World) -> None:
    world.fal.before_submit = lambda: setattr(world.ledger.rows["a"], "fence", 99)
    await world.accept()
    await world.turn()
    assert told_once(world)


async def test_a_worker_that_stops_in_the_call_leaks_no_flight(world: World) -> None:
    out = asyncio.Event()

    async def hang(call: Call) -> Any:
        out.set()
        await asyncio.Event().wait()

    world.fal.submit = hang  # type: ignore[method-assign]
    await world.accept()
    await world.dispatcher.run_once()
    await out.wait()
    await world.dispatcher.stop(0.0, 0.0)
    assert told_once(world)


async def test_a_call_that_fails_while_a_cancel_comes_ends_as_it_failed(world: World) -> None:
    v = world.providers["vertex"]
    slow = v.submit

    async def submit(call: Call) -> Any:
        await world.ledger.signal("a", "cancel")
        return await slow(call)

    v.submit = submit
    v.submits = [RunFailure(ContentRefusedError("no"), 1.0)]
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.receipt) == (Stage.FAILED, None)
