"""A submission whose answer was lost: found by whoever can tell, and only then, at a known risk, made again."""

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.world import IMAGES, LEASE_S, World
from worker.errors import (
    AuthenticationError,
    KilnhandError,
    RateLimitError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Attempt, ErrorRecord, Job, Options, Stage, Step, Ticket, dump_job, dump_ticket
from worker.providers.base import Ended, Running, SearchResult


@pytest.fixture
def world() -> World:
    return World()


async def lose_the_answer(world: World, **options: Any) -> None:
    """The POST was made, and its worker died."""
    await world.accept(**options)
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
    assert any("was not taken" in note.text for note in row.history)


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


EQUAL = SearchResult(None, math.inf, alike=(Ticket("r-1"), Ticket("r-2")))


@pytest.mark.parametrize("error", [SubmitUnknownError("no answer"), RateLimitError("429", provider="fal", status=429)])
async def test_a_lost_call_does_not_take_the_run_of_another_job_that_asked_for_the_same(
    world: World, error: KilnhandError
) -> None:
    """Two calls of a batch to a model without a seed: the run of one is listed, and it looks like the other's."""
    world.fal.submits = [Ticket("r-1"), error]
    step = Step("flux-schnell", {"prompt": "x", "seed": 7}, IMAGES)  # a seed of the caller marks no submission
    await world.ledger.accept(Job("sibling", "generation.text_to_image", "generation", {}, step, Options(), 0.0))
    await world.dispatcher.run_once()
    await world.dispatcher.idle()
    await world.accept_step(step)
    world.fal.finds = [EQUAL]
    row = await world.until(Stage.CLOSING)
    assert [attempt.ticket for attempt in row.attempts] == [Ticket("r-2")]


async def test_a_lost_call_is_made_again_if_every_run_that_looks_like_it_is_of_another_job(world: World) -> None:
    for run in ("fal:r-1", "fal:r-2"):
        assert await world.ledger.own_run(run, "sibling")
    world.fal.submits = [SubmitUnknownError("no answer"), Ticket("r-3")]
    world.fal.finds = [EQUAL]
    await world.accept(given={"seed": 7})
    row = await world.until(Stage.CLOSING)
    assert [attempt.ticket for attempt in row.attempts] == [None, Ticket("r-3")]


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


async def searched(world: World, found: Any, seconds: float = 3600.0) -> Job:
    """The row after a lost submission was searched for so long, with the list always as given."""
    world.fal.finds = [found]
    end = world.now + seconds
    while (row := await world.turn()).stage == Stage.UNKNOWN and world.now < end:
        world.now += 1.0
    return row


NO_LATER_REQUEST = SearchResult(listed_until=None)
FORBIDDEN = AuthenticationError("its list of requests needs a key with the permission x")
AWAY = ServiceUnavailableError("HTTP 503 instead of the list")


@pytest.mark.parametrize(("found", "least_s"), [(NO_LATER_REQUEST, 60 + 4 * 1.2 + 300), (AWAY, 600), (FORBIDDEN, 60)])
async def test_without_a_proof_a_cheap_submission_is_made_again_only_after_many_searches(
    world: World, found: Any, least_s: float
) -> None:
    await lose_the_answer(world)
    row = await searched(world, found)
    first, second = row.attempts
    assert second.possible_duplicate and second.started_at - first.started_at > least_s


@pytest.mark.parametrize("found", [NO_LATER_REQUEST, AWAY, FORBIDDEN])
async def test_without_a_proof_a_dear_submission_is_not_made_again(world: World, found: Any) -> None:
    world.dispatcher = world.another(duplicate_usd=0.001)
    await lose_the_answer(world)
    row = await searched(world, found)
    assert row.error and (row.ending, row.error.code, len(row.attempts)) == (Stage.FAILED, "submit_unknown", 1)
    assert "submit" not in world.fal.calls


@pytest.mark.parametrize("found", [NO_LATER_REQUEST, AWAY, FORBIDDEN])
async def test_time_without_a_worker_is_no_search(world: World, found: Any) -> None:
    """No worker for three hours, then one search that proves nothing."""
    await lose_the_answer(world)
    world.now += 10_000
    await searched(world, found, seconds=50)
    assert "submit" not in world.fal.calls and len((await world.row()).attempts) == 1


async def test_a_list_that_shows_only_earlier_requests_is_not_fresh(world: World) -> None:
    await lose_the_answer(world)
    await searched(world, SearchResult(listed_until=1000.0 + 30), seconds=200)
    assert "submit" not in world.fal.calls
    await searched(world, SearchResult(listed_until=1000.0 + 65), seconds=200)
    assert world.fal.calls.count("submit") == 1


async def test_the_option_decides_whether_a_lost_submission_is_made_again(world: World) -> None:
    await lose_the_answer(world, duplicates="never")
    row = await searched(world, None)
    assert row.error and (row.error.code, world.fal.calls.count("submit")) == ("submit_unknown", 0)


async def test_what_a_late_webhook_says_of_an_attempt_that_was_given_up_is_booked_and_marked(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("no answer"), Ticket("r-2")]
    world.fal.polls = [Running(), Ended(inference_s=1.0)]
    await world.accept()
    await world.until(Stage.WAITING)
    await world.hear(attempt=1, request_id="r-1")
    row = await world.until(Stage.CLOSING)
    assert [attempt.ticket for attempt in row.attempts] == [Ticket("r-1"), Ticket("r-2")]
    assert row.attempts[0].cost and row.attempts[0].cost.usd and row.attempts[0].cost.estimated
    assert row.attempts[1].possible_duplicate


async def test_an_attempt_that_was_refused_and_taken_all_the_same_is_not_made_again(world: World) -> None:
    """fal says 429 after it took the request, and its webhook comes while we wait to try again."""
    world.fal.submits = [RateLimitError("429", provider="fal", status=429), Ticket("r-2")]
    await world.accept()
    assert (await world.turn()).stage == Stage.ACCEPTED
    await world.hear(attempt=1, request_id="r-1")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, [attempt.ticket for attempt in row.attempts]) == (Stage.COMPLETED, [Ticket("r-1")])
    assert world.fal.calls.count("submit") == 1


async def test_a_cancel_of_an_attempt_that_was_refused_and_taken_stops_its_run(world: World) -> None:
    world.fal.submits = [RateLimitError("429", provider="fal", status=429)]
    await world.accept()
    await world.turn()
    await world.hear(attempt=1, request_id="r-1")
    await world.ledger.cancel("a", 60)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls.count("submit"), "cancel" in world.fal.calls) == (Stage.CANCELLED, 1, True)


REFUSED = ServiceUnavailableError("fal: HTTP 500, internal_error", provider="fal", status=500)


@pytest.mark.parametrize("error", [REFUSED, RateLimitError("429", provider="fal", status=429)])
@pytest.mark.parametrize(
    ("found", "marked", "tickets"),
    [
        (Ticket("r-1"), True, [Ticket("r-1"), Ticket("r-2")]),
        (SearchResult(listed_until=1e12), False, [None, Ticket("r-2")]),
        (SearchResult(listed_until=1000.0), True, [None, Ticket("r-2")]),
        (SearchResult(listed_until=None), True, [None, Ticket("r-2")]),
        (AWAY, True, [None, Ticket("r-2")]),
        (FORBIDDEN, True, [None, Ticket("r-2")]),
    ],
    ids=["found", "a fresh list", "a list that lags", "an empty list", "away", "forbidden"],
)
async def test_a_refused_attempt_is_searched_for_before_the_job_ends_and_marks_the_next_one_unless_the_list_is_fresh(
    world: World, error: Any, found: Any, marked: bool, tickets: Any
) -> None:
    world.fal.submits = [error, Ticket("r-2")]
    world.fal.finds = [None, found]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert [attempt.ticket for attempt in row.attempts] == tickets
    assert row.attempts[1].possible_duplicate is marked is bool(row.result and row.result["possible_duplicate"])
    assert (row.attempts[0].cost is not None) is marked, "what it may have cost is booked"
    assert world.fal.calls.count("find") == 2


@pytest.mark.parametrize("error", [REFUSED, RateLimitError("429", provider="fal", status=429)])
async def test_a_refused_attempt_that_its_provider_lists_is_not_made_again(world: World, error: Any) -> None:
    world.fal.submits = [error, Ticket("r-2")]
    world.fal.finds = [Ticket("r-1")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, [attempt.ticket for attempt in row.attempts]) == (Stage.COMPLETED, [Ticket("r-1")])
    assert world.fal.calls.count("submit") == 1
    assert row.attempts[0].cost and row.attempts[0].cost.upper_usd, "it is on the bill"


@pytest.mark.parametrize("found", [AWAY, FORBIDDEN])
async def test_a_search_that_fails_does_not_keep_a_refused_job_from_being_tried_again(world: World, found: Any) -> None:
    world.fal.submits, world.fal.finds = [REFUSED, Ticket("r-2")], [found]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[1].ticket, row.attempts[1].possible_duplicate) == (
        Stage.COMPLETED,
        Ticket("r-2"),
        True,
    )


@pytest.mark.parametrize("duplicates", ["allow", "never"])
async def test_a_job_whose_first_attempt_turns_out_to_be_taken_pays_for_no_third_one(
    world: World, duplicates: str
) -> None:
    """Attempt 1 is refused, and taken. Attempt 2 is lost with its worker, and its provider does not list it."""
    world.fal.submits, world.fal.finds = [REFUSED], [None]
    await world.accept(duplicates=duplicates)
    await world.turn()
    world.now += 10.0
    (claim,), _ = await world.ledger.claim(["generation"], 1, LEASE_S)
    lost = Attempt(2, "fal", "fal-ai/flux/schnell", world.now, seed=8)
    await world.ledger.keep(claim, claim.job.move(Stage.SUBMITTING, attempts=(*claim.job.attempts, lost)), LEASE_S)
    world.now += LEASE_S + 1
    await world.hear(attempt=1, request_id="r-1")
    row = await world.until(Stage.CLOSING, 2000.0)
    assert (row.ending, row.attempts[-1].ticket, row.attempts[-1].number) == (Stage.COMPLETED, Ticket("r-1"), 1)
    assert [(attempt.number, attempt.ticket) for attempt in row.attempts[:-1]] == [(2, None)]
    assert world.fal.calls.count("submit") == 1


async def test_an_attempt_that_never_arrived_is_not_searched_for(world: World) -> None:
    world.fal.submits = [ServiceUnavailableError("no connection", provider="fal"), Ticket("r-2")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.attempts[1].possible_duplicate, "find" in world.fal.calls) == (False, False)


async def test_with_webhooks_a_refused_attempt_is_given_time_to_report(world: World) -> None:
    world.dispatcher = world.another(webhook=lambda provider, job_id, attempt: "https://ours/hook")
    world.fal.submits = [REFUSED, Ticket("r-2")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert 2.4 <= row.attempts[1].started_at - row.attempts[0].started_at <= 4


@pytest.mark.parametrize("taken", [False, True])
async def test_a_refusal_that_its_worker_left_is_taken_over_once(world: World, taken: bool) -> None:
    """A worker whose claim was lost leaves what it was answered as a signal, which stays on the row."""
    await lose_the_answer(world)
    await world.turn()
    row = await world.row()
    refusal = ErrorRecord("service_unavailable", "HTTP 503", "fal", 503, "internal_error")
    refused = replace(row.attempts[0], ended_at=world.now, error=refusal)
    await world.ledger.signal("a", "outcome:1", dump_job(row.move(Stage.ACCEPTED, attempts=(refused,))).decode())
    row = await world.turn()
    assert (row.stage, row.attempts[0].error) == (Stage.ACCEPTED, refusal)
    if taken:  # fal had taken it all the same
        await world.hear(request_id="r-8")
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.fal.calls.count("submit") == (0 if taken else 1)
    assert len(row.attempts) == (1 if taken else 2)
