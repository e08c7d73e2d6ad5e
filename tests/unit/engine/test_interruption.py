"""A cancel and the deadline are heard inside every wait: for files, answers, memory, the store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.engine.fakes import PICTURE, FakeAtOnce
from tests.unit.engine.world import World, world_of_two
from worker.engine import outcome
from worker.errors import ServiceUnavailableError
from worker.files.memory_budget import MB, MemoryBudget
from worker.jobs.job import Job, Stage
from worker.providers.base import CancelResult, Ended, Running

Hang = Callable[..., Awaitable[Any]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def hang() -> Hang:
    """A call that never returns."""

    async def call(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    return call


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def begin(world: World) -> None:
    """Claim the row; its step hangs."""
    await world.dispatcher.run_once()
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.dispatcher.jobs, "the step does not wait"


async def listen(world: World, seconds: float) -> Job:
    """Let this time pass, listening every second, and return the row."""
    for _ in range(round(seconds)):
        world.now += 1.0
        await world.dispatcher.listen_once()
        for _ in range(20):
            await asyncio.sleep(0)
    if not world.dispatcher.jobs:
        await world.dispatcher.idle()
    return await world.row()


OVER = pytest.mark.parametrize("how", ["cancel", "deadline"])


async def end(world: World, how: str, seconds: float = 5) -> Job:
    """Cancel the job, or let its deadline of 60 s pass; the row after some seconds."""
    if how == "cancel":
        await world.ledger.signal("a", "cancel")
    else:
        world.now = 1060.5
    row = await listen(world, seconds)
    expected = (Stage.CANCELLED, None) if how == "cancel" else (Stage.FAILED, "deadline_exceeded")
    assert (row.ending, row.error and row.error.code) == expected
    return row


@OVER
async def test_a_download_that_takes_long(world: World, hang: Hang, how: str) -> None:
    world.fetcher.fetch_all = hang  # type: ignore[method-assign, assignment]
    await world.accept(deadline_s=60)
    await world.turn()
    world.now += 2
    await begin(world)
    row = await end(world, how)
    assert row.receipt and row.receipt.in_time is False
    assert row.attempts[-1].cost and row.attempts[-1].cost.usd == 0.006


async def test_a_download_has_a_moment_more_after_the_cancel(world: World, hang: Hang) -> None:
    may_go_on = asyncio.Event()
    fetch_all = world.fetcher.fetch_all

    async def slowly(*asked: Any, **more: Any) -> Any:
        await may_go_on.wait()
        return await fetch_all(*asked, **more)

    world.fetcher.fetch_all = slowly  # type: ignore[method-assign]
    await world.accept()
    await world.turn()
    world.now += 2
    await begin(world)
    await world.ledger.signal("a", "cancel")
    await listen(world, 2)
    may_go_on.set()
    await world.dispatcher.idle()
    row = await world.turn()
    assert (row.ending, len(row.artefacts)) == (Stage.CANCELLED, 1)


@OVER
@pytest.mark.parametrize("call", ["poll", "result"])
async def test_a_call_about_a_run_that_takes_long(world: World, hang: Hang, how: str, call: str) -> None:
    world.fal.polls = [Ended()]
    setattr(world.fal, call, hang)
    await world.accept(deadline_s=60)
    await world.turn()
    world.now += 2
    await begin(world)
    row = await end(world, how)
    assert (world.fal.calls[-1], row.receipt and row.receipt.in_time) == ("cancel", True)


async def test_an_answer_that_takes_long_after_the_run_was_stopped_too_late(world: World, hang: Hang) -> None:
    world.fal.polls, world.fal.cancels = [Running()], [CancelResult.TOO_LATE]
    await world.accept()
    await world.turn()
    await world.ledger.signal("a", "cancel")
    world.fal.polls, world.fal.result = [Ended()], hang  # type: ignore[method-assign, assignment]
    await begin(world)
    row = await listen(world, 5)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, False)


async def test_a_cancel_that_takes_long_is_sent_again_and_then_given_up(world: World, hang: Hang) -> None:
    world.fal.polls, world.fal.cancel = [Running()], hang  # type: ignore[method-assign, assignment]
    await world.accept()
    await world.turn()
    await world.ledger.signal("a", "cancel")
    row = await world.row()
    while row.ending is None:
        assert world.now < 1060
        await world.dispatcher.run_once()
        row = await listen(world, 1)
    assert (row.ending, row.receipt and row.receipt.told) == (Stage.CANCELLED, False)


@OVER
async def test_files_of_a_call_that_take_long(how: str, hang: Hang) -> None:
    world = world_of_two()
    assert world.inputs
    world.inputs.bring = hang  # type: ignore[method-assign, assignment]
    await world.accept(given={"image": "jobs/b/x.png"}, model="veo-3.1-lite", provider="vertex", deadline_s=60)
    await begin(world)
    row = await end(world, how, seconds=2)
    assert (row.attempts, row.receipt and row.receipt.in_time) == ((), True)


@OVER
async def test_memory_that_does_not_come_free(how: str) -> None:
    world = world_of_two()
    world.memory = MemoryBudget(100 * MB)
    await world.memory.take(100 * MB)
    world.providers["vertex"].call_size = 60 * MB
    world.dispatcher = world.another()
    await world.accept(provider="vertex", deadline_s=60)
    await begin(world)
    row = await end(world, how, seconds=2)
    assert row.attempts == ()


@OVER
async def test_a_call_that_answers_at_once_and_takes_long(how: str, hang: Hang) -> None:
    world = world_of_two()
    vertex: FakeAtOnce = world.providers["vertex"]
    vertex.submit = hang  # type: ignore[method-assign, assignment]
    await world.accept(provider="vertex", deadline_s=60)
    await begin(world)
    row = await end(world, how)
    cost = row.attempts[-1].cost
    assert cost and cost.certainty == "estimated" and (cost.upper_usd or 0) > 0, "what it may cost is booked"
    assert world.health and not world.health.leaks()


async def test_the_post_whose_answer_is_the_ticket_is_seen_through(world: World) -> None:
    go_on = asyncio.Event()
    submit = world.fal.submit

    async def slowly(call: Any) -> Any:
        await go_on.wait()
        return await submit(call)

    world.fal.submit = slowly  # type: ignore[method-assign]
    await world.accept()
    await begin(world)
    await world.ledger.signal("a", "cancel")
    await listen(world, 10)
    assert world.dispatcher.jobs
    go_on.set()
    await world.dispatcher.idle()
    row = await world.turn()
    assert (row.ending, world.fal.calls[-1]) == (Stage.CANCELLED, "cancel")


@OVER
async def test_a_store_that_is_away_while_files_are_in_hand(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "STORE_PAUSES_S", (1000.0,))
    world = world_of_two()
    world.fetcher.keep_errors = [ServiceUnavailableError("the store is away")]
    await world.accept(provider="vertex", deadline_s=60)
    await begin(world)
    row = await end(world, how)
    cost = row.attempts[-1].cost
    assert (cost and cost.units, row.receipt and row.receipt.in_time) == (PICTURE.billed_units, False)


async def test_a_lost_claim_is_no_interruption(world: World, hang: Hang) -> None:
    world.fetcher.fetch_all = hang  # type: ignore[method-assign, assignment]
    await world.accept()
    await world.turn()
    world.now += 2
    await begin(world)
    await world.dispatcher.stop(0, 0)
    assert (await world.row()).stage == Stage.FETCHED


async def test_deadlines_are_heard_while_the_ledger_is_away(world: World, hang: Hang) -> None:
    async def away(*_: Any) -> Any:
        raise ConnectionError

    world.fetcher.fetch_all = hang  # type: ignore[method-assign, assignment]
    await world.accept(deadline_s=60)
    await world.turn()
    world.now += 2
    await begin(world)
    world.ledger.cancelled = away  # type: ignore[method-assign]
    await end(world, "deadline")
