"""Rows that were sent and that no worker has accepted: their messages go out again."""

from dataclasses import replace

import pytest

from tests.unit.engine.world import World
from worker.jobs.job import HistoryEntry, Job, Options, Stage, Step


@pytest.fixture
def world() -> World:
    return World()


async def send(world: World, **message: object) -> None:
    step = Step("", {}, ())
    note = HistoryEntry(world.now, "sent")
    job = Job("a", "generation.text_to_image", "generation", {}, step, Options(), world.now, Stage.SENT)
    await world.ledger.send(replace(job, sent_at=world.now, history=(note,), message={"id": "a", **message}), 8.0)


async def test_a_row_that_nobody_accepts_has_its_message_sent_again_in_growing_steps(world: World) -> None:
    await send(world)
    times = []
    while len(times) < 4:
        before = len(world.publisher.sent)
        await world.turn()
        if len(world.publisher.sent) > before:
            times.append(world.now - 1000)
        world.now += 1
    assert [round(time) for time in times] == [8, 24, 56, 120]
    assert world.fal.calls == []


async def test_a_row_that_is_accepted_goes_on_and_its_message_is_not_sent_again(world: World) -> None:
    await send(world)
    world.now += 3
    row = await world.accept()
    assert (row.stage, row.sent_at, row.created_at) == (Stage.ACCEPTED, 1000, 1003)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.publisher.sent) == (Stage.COMPLETED, [])
    assert [note.what for note in row.history] == [
        "sent", "accepted", "submitting", "ticket", "answered", "stored", "ending",
    ]  # fmt: skip


async def test_a_row_that_is_accepted_while_its_message_is_sent_again_stays_accepted(world: World) -> None:
    await send(world)
    world.now += 11
    real = world.publisher.send

    async def accepted_meanwhile(job: Job) -> None:
        await real(job)
        await world.accept()

    world.publisher.send = accepted_meanwhile  # type: ignore[method-assign]
    assert (await world.turn()).stage == Stage.ACCEPTED


async def test_a_cancelled_row_that_nobody_accepted_ends(world: World) -> None:
    await send(world)
    await world.ledger.signal("a", "cancel")
    row = await world.turn()
    assert (row.ending, world.publisher.sent) == (Stage.CANCELLED, [])
    assert len(world.publisher.closed) == 1


async def test_a_row_whose_message_has_expired_ends(world: World) -> None:
    await send(world, expires_at=1005.0)
    world.now += 11
    assert (await world.turn()).ending == Stage.CANCELLED


async def test_what_expired_before_it_was_accepted_is_not_begun(world: World) -> None:
    await send(world, expires_at=1005.0)
    world.now += 6
    await world.accept()
    row = await world.turn()
    assert (row.ending, world.fal.calls) == (Stage.CANCELLED, [])


async def test_what_was_begun_in_time_goes_on(world: World) -> None:
    await send(world, expires_at=1005.0)
    await world.accept()
    assert (await world.turn()).stage == Stage.WAITING
    world.now += 60
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED


async def test_a_row_that_no_worker_ever_accepts_ends_as_a_failure(world: World) -> None:
    await send(world)
    row = await world.until(Stage.CLOSING, seconds=10_000)
    assert row.error and "no worker accepted" in row.error.message
    assert len(world.publisher.sent) == 20


async def until_sent_again(world: World, seconds: float) -> list[float]:
    """When the message was sent again, in seconds after the start."""
    times: list[float] = []
    end = world.now + seconds
    while world.now < end:
        before = len(world.publisher.sent)
        await world.turn()
        times += [world.now - 1000] * (len(world.publisher.sent) - before)
        world.now += 1
    return times


async def test_a_message_that_still_waits_in_its_queue_is_not_sent_again(world: World) -> None:
    asked: list[float] = []

    async def is_queued(job: Job) -> bool:
        asked.append(world.now - 1000)
        return world.now < 1000 + 3600

    world.dispatcher = world.another(is_queued=is_queued)
    await send(world)
    assert await until_sent_again(world, 3000) == []
    assert len(asked) < 30, "a long queue is not asked about often"
    (again, *_) = await until_sent_again(world, 1000)
    assert 3600 <= again <= 3600 + 300
    row = await world.row()
    assert [entry.what for entry in row.history if entry.what == "message_sent_again"] == ["message_sent_again"]


async def test_a_broker_that_cannot_be_asked_stops_no_message(world: World) -> None:
    async def is_queued(job: Job) -> bool:
        raise ConnectionError("the broker is away")

    world.dispatcher = world.another(is_queued=is_queued)
    await send(world)
    assert (await until_sent_again(world, 30))[:2] == [8, 24]


async def test_a_closing_message_that_still_waits_is_not_sent_again(world: World) -> None:
    waiting = [True]

    async def is_queued(job: Job) -> bool:
        return waiting[0]

    world.dispatcher = world.another(is_queued=is_queued)
    await world.accept()
    await world.until(Stage.CLOSING)
    for _ in range(100):
        world.now += 1
        await world.turn()
    assert len(world.publisher.closed) == 1
    waiting[0] = False
    for _ in range(100):
        world.now += 1
        await world.turn()
    assert len(world.publisher.closed) > 1
