"""A run that its provider does not begin may leave for another route: it is cancelled first, and moved only then."""

import pytest

from tests.unit.engine.fakes import FakeAtOnce
from tests.unit.engine.world import World, world_of_two
from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.jobs.job import Job, Stage, Ticket
from worker.providers.base import RUN_CANCELLED, CancelResult, Ended, Queued, RunFailure, Running

GONE = RunFailure(RequestRefusedError("fal: cancelled", provider="fal", kind=RUN_CANCELLED))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = world_of_two()
    world.fal.polls = [Queued(40)]
    return world


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


async def until_asked(world: World) -> Job:
    while "cancel" not in world.fal.calls:
        row = await world.turn()
        world.now += 0.5
    return row


async def test_it_is_moved_when_the_cancel_took(world: World) -> None:
    await world.accept(max_queue_s=20)
    row = await world.until(Stage.CLOSING)
    first, second = row.attempts
    assert (row.ending, second.provider) == (Stage.COMPLETED, "vertex")
    assert (first.error and first.error.kind, first.ended_at is not None) == ("queue", True)
    assert 20 <= second.started_at - row.created_at < 22
    assert world.fal.calls[-2:] == ["poll", "cancel"]
    assert row.given_up == ("fal fal-ai/flux/schnell",)


async def test_without_leave_it_stays_in_the_queue(world: World) -> None:
    await world.accept()
    for _ in range(300):
        await world.turn()
        world.now += 0.5
    assert "cancel" not in world.fal.calls


@pytest.mark.parametrize("stop", [CancelResult.ASKED, CancelResult.TOO_LATE])
async def test_one_that_runs_on_is_waited_for_and_its_piece_is_taken(world: World, stop: CancelResult) -> None:
    world.fal.cancels = [stop]
    await world.accept(max_queue_s=5)
    row = await until_asked(world)
    assert (row.stage, row.attempts[0].leaving, vertex(world).calls) == (Stage.WAITING, True, [])
    world.fal.polls = [Queued(1), Queued(0), Running(), Ended()]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts), vertex(world).calls) == (Stage.COMPLETED, 1, [])
    assert world.fal.calls.count("cancel") == 3, "as often as it was found in the queue"


async def test_one_that_ends_as_cancelled_is_moved(world: World) -> None:
    world.fal.cancels = [CancelResult.ASKED]
    await world.accept(max_queue_s=5)
    await until_asked(world)
    assert vertex(world).calls == []
    world.fal.polls, world.fal.results = [Ended()], [GONE]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")
    assert world.fal.calls.count("submit") == 1


async def test_a_run_that_nobody_asked_to_leave_is_not_moved_by_the_same_word(world: World) -> None:
    world.fal.polls, world.fal.results = [Ended()], [GONE]
    await world.accept(max_queue_s=5)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex(world).calls) == (Stage.FAILED, [])


async def test_a_cancel_that_does_not_get_through_is_tried_again(world: World) -> None:
    world.fal.cancels = [ServiceUnavailableError("fal: 503"), ServiceUnavailableError("fal: 503"), CancelResult.STOPPED]
    await world.accept(max_queue_s=5)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider, world.fal.calls.count("cancel")) == (Stage.COMPLETED, "vertex", 3)


async def test_a_cancel_that_took_and_whose_answer_is_lost_moves_it_all_the_same(world: World) -> None:
    world.fal.cancels = [ServiceUnavailableError("fal: no answer")]
    await world.accept(max_queue_s=5)
    await until_asked(world)
    world.fal.polls, world.fal.results = [Ended()], [GONE]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")


async def test_that_it_leaves_is_written_before_its_provider_is_asked(world: World) -> None:
    written: list[bool] = []

    async def cancel(endpoint: str, ticket: Ticket) -> CancelResult:
        written.append((await world.row()).attempts[0].leaving)
        return CancelResult.STOPPED

    world.fal.cancel = cancel  # type: ignore[method-assign]
    await world.accept(max_queue_s=5)
    await world.until(Stage.CLOSING)
    assert written == [True]


async def test_a_run_that_has_begun_is_left_alone(world: World) -> None:
    world.fal.polls = [*[Running()] * 20, Ended()]
    await world.accept(max_queue_s=1)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls.count("cancel")) == (Stage.COMPLETED, 0)


async def test_without_another_route_it_stays(world: World) -> None:
    await world.accept(max_queue_s=5, given={"seed": 7})
    for _ in range(40):
        await world.turn()
        world.now += 0.5
    assert "cancel" not in world.fal.calls


async def test_a_callers_cancel_ends_what_was_asked_to_leave(world: World) -> None:
    world.fal.cancels = [CancelResult.ASKED]
    await world.accept(max_queue_s=5)
    await until_asked(world)
    await world.ledger.signal("a", "cancel")
    world.fal.polls, world.fal.results = [Ended()], [GONE]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex(world).calls) == (Stage.CANCELLED, [])
