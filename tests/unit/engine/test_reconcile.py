"""A submission whose answer was lost: found by whoever can tell, and only then, at a known risk, made again."""

from typing import Any

import pytest

from tests.unit.engine.world import LEASE_S, World
from worker.errors import AuthenticationError, ServiceUnavailableError, SubmitUnknownError
from worker.jobs.job import Attempt, Stage, Ticket, dump_ticket


@pytest.fixture
def world() -> World:
    return World()


async def lose_the_answer(world: World) -> None:
    """The POST was made, and its worker died."""
    await world.accept()
    (claim,), _ = await world.ledger.claim(["generation"], 1, LEASE_S)
    attempt = Attempt(1, "fal", "fal-ai/flux/schnell", world.now, seed=7)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(attempt,)), LEASE_S)
    world.now += LEASE_S + 1


async def test_an_intent_without_a_ticket_is_looked_for_before_anything_is_sent(world: World) -> None:
    await lose_the_answer(world)
    row = await world.turn()
    assert row.stage == Stage.UNKNOWN
    assert world.fal.calls == ["find"]
    assert world.fal.sought[0].arguments["seed"] == 7
    assert world.fal.sought[0].endpoint == "fal-ai/flux/schnell"
    assert world.fal.sought[0].since == 1000


async def test_what_the_provider_lists_is_waited_for(world: World) -> None:
    world.fal.finds = [None, ServiceUnavailableError("the list is away"), Ticket("r-9")]
    await lose_the_answer(world)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[0].ticket) == (Stage.COMPLETED, Ticket("r-9"))
    assert "submit" not in world.fal.calls
    assert len(row.attempts) == 1


async def test_a_webhook_is_the_reconciliation_of_an_unknown_submission(world: World) -> None:
    await lose_the_answer(world)
    await world.turn()
    await world.hear(request_id="r-8")
    row = await world.turn()
    assert row.attempts[0].ticket == Ticket("r-8")
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED
    assert "submit" not in world.fal.calls


async def test_a_ticket_that_its_worker_left_is_taken(world: World) -> None:
    await lose_the_answer(world)
    await world.ledger.signal("a", "ticket:1", dump_ticket(Ticket("r-7")))
    row = await world.turn()
    assert row.attempts[0].ticket == Ticket("r-7")
    assert "find" not in world.fal.calls


async def test_only_after_a_bounded_wait_it_is_sent_again_and_marked(world: World) -> None:
    await lose_the_answer(world)
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls.count("submit") == 1
    lost, made = row.attempts
    assert (lost.ticket, lost.error and lost.error.code) == (None, "submit_unknown")
    assert made.possible_duplicate
    assert made.started_at - lost.started_at > 60
    assert row.ending == Stage.COMPLETED
    assert row.result and row.result["possible_duplicate"]
    assert any("paid for" in note.text for note in row.history)


async def test_a_second_submission_that_is_lost_ends_the_job(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("no answer")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls.count("submit") == 2
    assert row.error and row.error.code == "submit_unknown"
    assert [attempt.possible_duplicate for attempt in row.attempts] == [False, True]


async def test_what_an_earlier_attempt_hears_is_not_taken_for_a_later_one(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("no answer")]
    await world.accept()
    while len((await world.turn()).attempts) < 2:
        world.now += 0.5
    assert (await world.row()).stage == Stage.UNKNOWN
    await world.hear(attempt=1, request_id="r-1")
    row = await world.turn()
    assert (row.stage, row.attempts[1].ticket) == (Stage.UNKNOWN, None)


async def test_a_defect_in_the_middle_of_a_submission_does_not_repeat_it_blindly(world: World) -> None:
    world.fal.submits = [RuntimeError("a bug after the POST"), Ticket("r-2")]
    world.fal.finds = [Ticket("r-1")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls.count("submit") == 1
    assert row.ending == Stage.COMPLETED


async def test_a_list_that_may_not_be_read_is_no_proof(world: World) -> None:
    world.fal.finds = [AuthenticationError("no")]
    await lose_the_answer(world)
    row = await world.turn()
    assert row.stage == Stage.UNKNOWN


async def test_the_deadline_ends_a_job_whose_submission_is_unknown(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("no answer")]
    await world.accept(deadline_s=20)
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "deadline_exceeded"
    assert world.fal.calls.count("submit") == 1
    assert row.receipt and row.receipt.in_time is None


async def test_a_cancel_of_an_unknown_submission_stops_what_is_found(world: World) -> None:
    await lose_the_answer(world)
    await world.turn()
    await world.ledger.signal("a", "cancel")
    await world.hear(request_id="r-8")
    row = await world.until(Stage.CLOSING, seconds=5)
    assert (row.ending, world.fal.calls[-1]) == (Stage.CANCELLED, "cancel")


async def test_a_cancel_of_one_that_is_never_found_says_that_it_may_have_been_paid(world: World) -> None:
    await lose_the_answer(world)
    await world.ledger.signal("a", "cancel")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.receipt and row.receipt.in_time) == (Stage.CANCELLED, None)
    assert "submit" not in world.fal.calls


async def test_the_seed_of_our_choice_goes_with_the_call_and_a_callers_own_stays(world: World) -> None:
    await world.accept()
    row = await world.turn()
    assert row.attempts[0].seed == 2**30
    assert world.fal.sent[0].arguments == {"prompt": "x", "seed": 2**30}


async def test_a_worker_that_slept_between_the_intent_and_the_post_does_not_send(world: World) -> None:
    await world.accept()
    real = world.ledger.keep

    async def slow(claim: Any, job: Any, lease_s: float) -> None:
        await real(claim, job, lease_s)
        if job.stage == Stage.SUBMITTING and claim.fence == 2:
            world.now += LEASE_S + 1  # stopped right after the intent was written
            await world.another().run_once()

    world.ledger.rows["a"].fence = 1
    world.ledger.keep = slow  # type: ignore[method-assign]
    await world.turn()
    assert "submit" not in world.fal.calls
