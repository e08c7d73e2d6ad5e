"""A provider that answers inside the call: what came is stored first; what is lost is repeated only if that is allowed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.fakes import PICTURE, FakeAtOnce
from tests.unit.engine.world import LEASE_S, World, world_of_two
from worker.engine import outcome
from worker.errors import (
    BrokenPieceError,
    ContentRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)  # fmt: skip
from worker.jobs.cost import NOTHING_BILLED
from worker.jobs.job import Attempt, Cost, Job, Stage, dump_job
from worker.jobs.status import VALUES
from worker.providers.base import Call, RunFailure

CALL_S = FakeAtOnce.call_s
LOST = SubmitUnknownError("vertex: the connection broke", provider="vertex")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(outcome, "STORE_PAUSES_S", (0.0, 0.0, 0.0))
    return world_of_two()


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


async def lose_the_worker(world: World, **options: Any) -> None:
    """The call was made, and its worker died in the middle of it."""
    await world.accept(providers=("vertex",), **options)
    (claim,), _ = await world.ledger.claim(["generation"], 1, LEASE_S)
    attempt = Attempt(1, "vertex", "gemini-nano-banana-2.1", world.now)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), LEASE_S)
    world.now += LEASE_S + 1


async def lose_the_answer(world: World) -> None:
    """The call was made, and the connection broke."""
    vertex(world).submits = [LOST]
    await world.accept(provider="vertex")


def codes(row: Job) -> list[str | None]:
    return [attempt.error.code if attempt.error else None for attempt in row.attempts]


async def test_a_call_that_ended_open_is_repeated_at_once_and_marked(world: World) -> None:
    vertex(world).submits = [LOST, PICTURE]
    await world.accept(providers=("vertex",), duplicates="allow")
    row = await world.until(Stage.CLOSING, seconds=2)
    assert (row.ending, codes(row)) == (Stage.COMPLETED, ["submit_unknown", None])
    assert [attempt.possible_duplicate for attempt in row.attempts] == [False, True]
    result = dict(row.result or {})
    assert result["possible_duplicate"]
    lost = result["provenance"]["tried"][0]
    assert lost["error"] == "submit_unknown"
    assert (lost["cost"]["certainty"], lost["cost"]["lower_usd"]) == ("estimated", 0.0)
    assert 0.0336 < lost["cost"]["usd"] < lost["cost"]["upper_usd"] < 0.05
    total = result["total_cost"]
    assert total["lower_usd"] == result["cost"]["lower_usd"] and total["upper_usd"] > 2 * 0.0336


async def test_a_call_whose_worker_vanished_is_repeated_once_it_must_be_over(world: World) -> None:
    await lose_the_worker(world, duplicates="allow")
    while len((await world.turn()).attempts) == 1:
        assert vertex(world).calls == ["find"] * len(vertex(world).calls)
        world.now += 0.5
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    first, second = row.attempts
    assert CALL_S <= second.started_at - first.started_at < CALL_S + 1
    assert (first.cost and first.cost.usd, second.possible_duplicate) == (pytest.approx(0.036, abs=0.001), True)
    assert vertex(world).calls.count("submit") == 1


async def test_a_call_that_is_lost_twice_ends_the_job(world: World) -> None:
    vertex(world).submits = [LOST]
    await world.accept(provider="vertex", duplicates="allow")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, codes(row)) == (Stage.FAILED, ["submit_unknown"] * 2)
    assert row.error and row.error.code == "submit_unknown"
    assert (vertex(world).calls.count("submit"), world.fal.calls) == (2, [])
    assert all(attempt.cost and attempt.cost.estimated for attempt in row.attempts)


async def test_what_is_unknown_goes_nowhere_else_before_it_is_reconciled(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("fal: the connection broke")]
    await world.accept()
    while (row := await world.turn()).stage == Stage.UNKNOWN:
        assert vertex(world).calls == []
        world.now += 1
    assert row.attempts[0].ended_at and row.attempts[0].ended_at - row.created_at > 60
    assert "find" in world.fal.calls


async def test_the_files_of_an_answer_are_stored_before_the_row_is_written(world: World) -> None:
    stages = list[Stage]()
    world.fetcher.before_keep = lambda: stages.append(world.ledger.rows["a"].job.stage)
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert stages == [Stage.SUBMITTING]
    assert [artefact.key for artefact in row.artefacts] == ["jobs/a/images-0.png"]
    assert row.attempts[0].answered


@pytest.mark.parametrize("error", [ServiceUnavailableError("the store: away"), OSError("no space left on device")])
async def test_a_store_that_is_away_is_tried_again_in_place(world: World, error: Exception) -> None:
    world.fetcher.keep_errors = [error] * 3
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex(world).calls) == (Stage.COMPLETED, ["submit"])


@pytest.mark.parametrize("error", [ServiceUnavailableError("the store: away"), OSError("no space left on device")])
async def test_a_store_that_stays_away_ends_the_job_without_a_second_call(world: World, error: Exception) -> None:
    world.fetcher.keep_errors = [error] * 99
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex(world).calls, world.fal.calls) == (Stage.FAILED, ["submit"], [])
    assert row.error and row.error.code == "service_unavailable"
    assert row.attempts[0].cost and row.attempts[0].cost.usd == 0.0336


async def test_a_black_picture_inside_an_answer_is_not_paid_for_twice(world: World) -> None:
    world.fetcher.keep_errors = [BrokenPieceError("images.0: black")]
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex(world).calls, world.fal.calls) == (Stage.FAILED, ["submit"], [])


@pytest.mark.parametrize("lose", [lose_the_worker, lose_the_answer])
async def test_a_lost_call_that_costs_more_than_the_setting_is_not_repeated(world: World, lose: Any) -> None:
    await lose(world)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, codes(row), vertex(world).calls.count("submit")) == (
        Stage.FAILED, ["submit_unknown"], int(lose is lose_the_answer)
    )  # fmt: skip
    cost = row.attempts[0].cost
    assert cost and cost.upper_usd and 0.0336 < cost.upper_usd < 0.05


async def test_a_worker_that_dies_between_the_answer_and_the_row_leaves_a_possible_duplicate(world: World) -> None:
    def die() -> None:
        world.fetcher.before_keep = lambda: None
        world.ledger.rows["a"].fence += 1
        raise asyncio.CancelledError

    world.fetcher.before_keep = die
    await world.accept(providers=("vertex",), duplicates="allow")
    await world.turn()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts)) == (Stage.COMPLETED, 2)
    assert row.attempts[1].possible_duplicate
    assert vertex(world).calls.count("submit") == 2


async def test_an_answer_that_outlasts_its_lease_is_written_by_the_claim_that_follows(world: World) -> None:
    """The row is claimed by ourselves again while the call is out."""
    out, answer = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> Any:
        vertex(world).sent.append(call)
        out.set()
        await answer.wait()
        return PICTURE

    vertex(world).submit = slow  # type: ignore[method-assign]
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await out.wait()
    world.now += LEASE_S + 1
    await world.dispatcher.run_once()
    answer.set()
    await world.dispatcher.idle()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(vertex(world).sent), len(row.attempts)) == (Stage.COMPLETED, 1, 1)


async def test_a_cancel_during_the_call_comes_too_late_and_keeps_the_picture(world: World) -> None:
    loop, tasks = asyncio.get_running_loop(), list[Any]()
    vertex(world).before_submit = lambda: tasks.append(loop.create_task(world.ledger.signal("a", "cancel")))
    slow = vertex(world).submit

    async def submit(call: Call) -> Any:
        answer = await slow(call)
        await asyncio.gather(*tasks)
        return answer

    vertex(world).submit = submit  # type: ignore[method-assign]
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.artefacts)) == (Stage.CANCELLED, 1)
    assert row.receipt and (row.receipt.in_time, row.receipt.cost and row.receipt.cost.usd) == (False, 0.0336)


async def test_a_cancel_that_was_heard_before_the_intent_sends_nothing(world: World) -> None:
    await world.accept(providers=("vertex",))
    await world.ledger.signal("a", "cancel")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.receipt and row.receipt.in_time, vertex(world).calls) == (Stage.CANCELLED, True, [])


async def test_a_deadline_that_passes_during_the_call_does_not_throw_away_its_picture(world: World) -> None:
    vertex(world).before_submit = lambda: setattr(world, "now", world.now + 7)
    await world.accept(providers=("vertex",), deadline_s=5)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.artefacts)) == (Stage.COMPLETED, 1)


async def test_a_deadline_that_passes_between_two_tries_ends_the_job(world: World) -> None:
    vertex(world).submits = [RunFailure(ServiceUnavailableError("503"))]
    await world.accept(providers=("vertex",), deadline_s=2)
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "deadline_exceeded"


async def test_a_refused_run_is_billed_all_the_same(world: World) -> None:
    vertex(world).submits = [RunFailure(ContentRefusedError("vertex: not this"), 1.0)]
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert row.attempts[0].cost and row.attempts[0].cost.usd == 0.0336


class OpenCall:
    """A call that is out until its answer is given."""

    def __init__(self, world: World) -> None:
        self.out, self.answer, self.world = asyncio.Event(), asyncio.Event(), world
        vertex(world).submit = self.submit  # type: ignore[method-assign]

    async def submit(self, call: Call) -> Any:
        vertex(self.world).sent.append(call)
        self.out.set()
        await self.answer.wait()
        return PICTURE


async def test_no_other_worker_takes_the_row_while_the_call_may_be_out(world: World) -> None:
    """Redis is frozen, or the worker: nobody renews the lease."""
    call = OpenCall(world)
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await call.out.wait()
    other = world.another()
    world.now += CALL_S
    await world.turn(other)
    call.answer.set()
    await world.dispatcher.idle()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(vertex(world).sent), len(row.attempts)) == (Stage.COMPLETED, 1, 1)


async def test_a_renewal_does_not_shorten_the_lease_of_a_call(world: World) -> None:
    call = OpenCall(world)
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await call.out.wait()
    until = world.ledger.rows["a"].until
    await world.dispatcher.renew_once()
    assert world.ledger.rows["a"].until == until >= world.now + CALL_S
    call.answer.set()
    await world.dispatcher.idle()


async def lose_the_claim(world: World) -> None:
    """The call outlasts even its own lease, and another worker has the row, which is unknown to it."""
    call = OpenCall(world)
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await call.out.wait()
    world.now += 2 * CALL_S
    other = world.another()
    vertex(world).calls.clear()
    row = world.ledger.rows["a"]
    row.job = row.job.move(Stage.UNKNOWN)
    row.fence += 1
    row.until, row.due = 0.0, world.now + 5
    call.answer.set()
    await world.dispatcher.idle()
    world.dispatcher = other


async def test_an_answer_that_comes_too_late_to_be_written_is_left_to_the_worker_that_holds_the_row(
    world: World,
) -> None:
    await lose_the_claim(world)
    assert "outcome:1" in world.ledger.rows["a"].signals
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts), len(vertex(world).sent)) == (Stage.COMPLETED, 1, 1)
    assert row.artefacts and row.attempts[0].cost and row.attempts[0].cost.lower_usd == 0.0336
    assert any("by the worker that sent it" in entry.text for entry in row.history)


async def test_an_answer_is_kept_in_the_store_while_the_ledger_is_away_and_found_when_its_process_has_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = OpenCall(world)
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await call.out.wait()
    real = world.ledger.keep

    async def away(*args: Any) -> None:
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(world.ledger, "keep", away)
    monkeypatch.setattr(world.ledger, "release", away)
    call.answer.set()
    while not world.store.kept:
        await asyncio.sleep(0.01)
    monkeypatch.undo()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:  # kill -9
        task.cancel()
    world.ledger.keep = real  # type: ignore[method-assign]
    world.ledger.rows["a"].signals.clear()
    world.dispatcher = world.another()
    world.now += 2 * CALL_S
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts), len(vertex(world).sent)) == (Stage.COMPLETED, 1, 1)
    assert any("in the store" in entry.text for entry in row.history)


async def test_an_outcome_in_the_store_is_removed_once_the_row_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, failures = OpenCall(world), [ConnectionError("Redis is away")]
    await world.accept(providers=("vertex",))
    await world.dispatcher.run_once()
    await call.out.wait()
    keep, release = world.ledger.keep, world.ledger.release

    def failing(method: Any) -> Any:
        async def write(*args: Any) -> None:
            if failures:
                raise failures.pop()
            assert world.store.kept
            await method(*args)

        return write

    monkeypatch.setattr(world.ledger, "keep", failing(keep))
    monkeypatch.setattr(world.ledger, "release", failing(release))
    call.answer.set()
    await world.dispatcher.idle()
    monkeypatch.undo()
    assert not world.store.kept
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED


async def test_the_answer_of_an_attempt_that_was_made_again_is_booked(world: World) -> None:
    """Duplicates are allowed, the second call is out, and the first one's answer comes after all."""
    await lose_the_worker(world, duplicates="allow")
    second = OpenCall(world)
    world.now += CALL_S
    await world.dispatcher.run_once()
    await second.out.wait()
    lost = world.ledger.rows["a"].job
    first = replace(lost.attempts[0], answered=True, error=None, cost=Cost(0.0336, 1.0, "image", estimated=False))
    left = replace(lost, stage=Stage.FETCHED, attempts=(first,))
    await world.ledger.signal("a", "outcome:1", dump_job(left).decode())
    second.answer.set()
    await world.dispatcher.idle()
    row = await world.until(Stage.CLOSING)
    assert [attempt.was_taken for attempt in row.attempts] == [True, True]
    assert row.attempts[0].cost and not row.attempts[0].cost.estimated
    assert row.attempts[1].possible_duplicate


async def test_a_free_call_whose_worker_died_is_made_again_without_waiting_for_its_end(world: World) -> None:
    await world.accept(providers=("vertex",))
    (claim,), _ = await world.ledger.claim(["generation"], 1, LEASE_S)
    attempt = Attempt(1, "vertex", "gemini-nano-banana-2.1", world.now, cost=NOTHING_BILLED)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), LEASE_S)
    world.now += LEASE_S + 1
    row = await world.until(Stage.CLOSING, seconds=CALL_S / 4)
    assert (row.ending, codes(row)) == (Stage.COMPLETED, ["submit_unknown", None])
    assert [attempt.possible_duplicate for attempt in row.attempts] == [False, False], "nothing is paid for twice"


async def test_values_too_large_for_a_row_end_the_job(world: World) -> None:
    vertex(world).submits = [replace(PICTURE, output={VALUES: {"names": ["n" * 1000] * 5000}})]
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert row.error and "the values of the answer have 5.0 MB; allowed: 4 MB" in row.error.message
    assert len(dump_job(row)) < 100_000
    assert vertex(world).calls.count("submit") == 1
