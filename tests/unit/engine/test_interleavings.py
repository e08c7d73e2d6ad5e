"""Two workers, and a ledger that goes away at the worst moment: tickets are kept, another's intent is not ours."""

import asyncio
from typing import Any

import pytest

from tests.unit.engine.world import LEASE_S, World
from worker.engine.dispatcher import Dispatcher
from worker.errors import BrokenPieceError, RequestRefusedError, ServiceUnavailableError, SubmitUnknownError
from worker.jobs.job import Stage, Ticket
from worker.providers.base import Call, CancelResult


class Cut:
    """A ledger that cannot be reached while `away`."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.away = inner, False

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            if self.away:
                raise ConnectionError("cut off")
            return await getattr(self.inner, name)(*args, **named)

        return call


@pytest.fixture
def world() -> World:
    return World()


def cut_off(world: World) -> tuple[Dispatcher, Cut]:
    """A second worker, whose ledger can be cut off."""
    cut = Cut(world.ledger)
    return world.another(cut), cut


async def until(met: Any) -> None:
    async with asyncio.timeout(60):
        while not met():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["claims again", "renews", "stops", "stops at once"])
async def test_a_ticket_that_could_not_be_written_is_not_thrown_away(world: World, how: str) -> None:
    first, cut = cut_off(world)
    await world.accept()
    world.fal.before_submit = lambda: setattr(cut, "away", True)
    await first.run_once()
    await until(lambda: first.jobs["a"].attempt and first.jobs["a"].attempt.ticket)
    world.now += LEASE_S + 1
    assert (await world.turn()).stage == Stage.UNKNOWN
    world.now += 3
    cut.away = False
    if how == "claims again":
        await first.run_once()
    elif how == "renews":
        await first.renew_once()
    else:
        await first.stop(0.0, 5.0 if how == "stops" else 0.0)
    await first.idle(timeout_s=60)
    for _ in range(5):
        await world.turn()
    row = await world.row()
    assert row.attempts[0].ticket == Ticket("r-1")
    assert len(world.fal.sent) == 1


@pytest.mark.parametrize("found", [Stage.SUBMITTING, Stage.UNKNOWN])
async def test_the_intent_of_another_worker_is_not_taken_for_our_own(world: World, found: Stage) -> None:
    first, cut = cut_off(world)
    await world.accept()
    claim = world.ledger.claim

    async def claim_and_be_cut_off(*args: Any) -> Any:
        claims = await claim(*args)
        cut.away = True
        return claims

    cut.claim = claim_and_be_cut_off  # type: ignore[attr-defined]
    await first.run_once()
    await until(lambda: first.jobs["a"].stage == Stage.SUBMITTING)
    del cut.claim  # type: ignore[attr-defined]
    world.now += LEASE_S + 1
    if found == Stage.UNKNOWN:
        world.fal.submits = [SubmitUnknownError("lost"), Ticket("r-2")]
        await world.turn()
    else:
        await post_and_die(world)
    assert (await world.row()).stage == found
    world.now += 3
    cut.away = False
    await first.run_once()
    await first.idle(timeout_s=60)
    assert len(world.fal.sent) == 1
    assert (await world.row()).stage == Stage.UNKNOWN


async def post_and_die(world: World) -> None:
    """The POST of our own dispatcher goes out, and its process is gone before the answer."""
    out = asyncio.Event()
    real = world.fal.submit

    async def hang(call: Call) -> Ticket:
        world.fal.sent.append(call)
        out.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    world.fal.submit = hang  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    await out.wait()
    await world.dispatcher.stop(0.0, 0.0)
    world.fal.submit = real  # type: ignore[method-assign]
    world.now += LEASE_S + 1


async def test_a_run_whose_answer_nobody_can_get_does_not_outlive_its_deadline_for_ever(world: World) -> None:
    world.fal.results, world.fal.cancels = [ServiceUnavailableError("a page in its place")], [CancelResult.TOO_LATE]
    await world.accept(deadline_s=60)
    row = await world.until(Stage.CLOSING, seconds=1000)
    assert row.error and row.error.code == "deadline_exceeded"


async def test_a_webhook_that_tells_of_an_error_is_no_answer(world: World) -> None:
    world.fal.polls = [RequestRefusedError("gone", kind="not_found")]
    world.fetcher.errors = [BrokenPieceError("no images in it")] * 9
    await world.accept()
    await world.turn()
    await world.hear(status="ERROR", payload={"detail": "nsfw"})
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "request_refused"
    cost = row.attempts[0].cost
    assert cost and (cost.lower_usd, cost.upper_usd) == (0.0, 0.003), "it may have been billed"


async def test_a_cancel_while_the_files_cannot_be_had_ends_as_cancelled(world: World) -> None:
    world.fetcher.errors = [ServiceUnavailableError("the CDN")] * 99
    await world.accept()
    while (await world.turn()).stage != Stage.FETCHED:
        world.now += 0.3
    await world.ledger.signal("a", "cancel")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, False)
    assert row.receipt and row.receipt.cost


async def test_a_cancel_while_the_second_submission_is_lost_ends_as_cancelled(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("lost")]
    await world.accept()
    while len((await world.turn()).attempts) < 2:
        world.now += 1
    await world.ledger.signal("a", "cancel")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.receipt and row.receipt.in_time, row.error) == (Stage.CANCELLED, None, None)
