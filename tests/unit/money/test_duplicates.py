"""Submissions in doubt: which attempts are, and what the bills say about them."""

from dataclasses import replace
from typing import Any

import pytest

from worker.cli.commands.duplicates import count, finding_as_json
from worker.jobs.job import Attempt, Cost, ErrorRecord, Job, Options, Stage, Step, Ticket
from worker.money.bills import Bill
from worker.money.duplicates import Doubt, Finding, doubts, judge

NOW = 1_700_000_000.0
AT = NOW - 7_200
LOST = ErrorRecord("submit_unknown", "nobody knows")
PLAIN = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {"seed": 7}, ()), Options(), AT)


def attempt(number: int, **changes: Any) -> Attempt:
    usual: dict[str, Any] = {"ticket": Ticket(f"r-{number}"), "ended_at": AT + 5}
    return Attempt(number, "fal", "fal-ai/flux/schnell", AT, **(usual | changes))


def lost(number: int = 1, **changes: Any) -> Attempt:
    return attempt(number, **({"ticket": None, "error": LOST} | changes))


def job(*attempts: Attempt, stage: Stage = Stage.COMPLETED) -> Job:
    ending = stage if stage in {Stage.COMPLETED, Stage.FAILED} else None
    return replace(PLAIN, attempts=attempts, stage=stage, ending=ending)


def bill(request_id: str = "r-9", number: int = 1) -> Bill:
    return Bill(request_id, "fal-ai/flux/schnell", 0.003, AT + 3, {"job": "a", "attempt": str(number)})


def only(*attempts: Attempt, stage: Stage = Stage.COMPLETED) -> Doubt:
    (doubt,) = doubts(job(*attempts, stage=stage))
    return doubt


def test_a_lost_attempt_that_was_repeated_is_in_doubt() -> None:
    doubt = only(lost(seed=3), attempt(2, possible_duplicate=True))
    assert (doubt.attempt, doubt.repeated_by, doubt.another_was_paid, doubt.seed) == (1, 2, True, 3)
    assert doubt.known_requests == {"r-2"} and doubt.state == "SUCCESS"


def test_a_job_that_ended_as_unknown_is_in_doubt_without_a_repeat() -> None:
    doubt = only(lost(), stage=Stage.FAILED)
    assert (doubt.repeated_by, doubt.another_was_paid, doubt.state, doubt.seed) == (None, False, "FAILURE", None)
    assert judge(doubt, [bill()], NOW, 3_600).was_paid_twice is False


def test_both_losses_of_a_job_are_in_doubt() -> None:
    found = list(doubts(job(lost(1), lost(2, possible_duplicate=True), stage=Stage.FAILED)))
    assert [(one.attempt, one.repeated_by) for one in found] == [(1, 2), (2, None)]


def test_a_refusal_before_a_marked_attempt_is_in_doubt() -> None:
    refused = attempt(1, ticket=None, error=ErrorRecord("rate_limited", "slow", "fal", 429))
    assert only(refused, attempt(2, possible_duplicate=True)).attempt == 1


def test_an_attempt_that_was_found_too_late_is_in_doubt_with_its_request() -> None:
    late = attempt(1, error=LOST)
    doubt = only(late, attempt(2, possible_duplicate=True, submitted_at=AT))
    assert (doubt.attempt, doubt.request_id, doubt.known_requests) == (1, "r-1", {"r-2"})
    untagged = replace(bill("r-1"), tags=None)
    assert judge(doubt, [untagged], NOW, 3_600).was_paid_twice is True


@pytest.mark.parametrize(
    "row",
    [
        job(attempt(1)),
        job(attempt(1, ticket=None, error=ErrorRecord("rate_limited", "slow", "fal", 429)), attempt(2)),
        job(
            attempt(1, ticket=None, error=ErrorRecord("request_refused", "no", "fal", 422)),
            attempt(2, possible_duplicate=True),
        ),
        job(attempt(1, error=LOST, submitted_at=AT), attempt(2, possible_duplicate=True)),
        job(lost(), stage=Stage.UNKNOWN),
        job(),
    ],
)
def test_what_is_known_or_still_searched_for_is_not_in_doubt(row: Job) -> None:
    assert list(doubts(row)) == []


def test_an_estimate_bounds_what_it_may_have_cost() -> None:
    assert only(lost(cost=None), attempt(2)).upper_usd is None
    exact = only(lost(cost=Cost(0.003, 1, "megapixel", estimated=False)), attempt(2))
    assert (exact.lower_usd, exact.upper_usd) == (0.003, 0.003)


def test_a_bill_with_its_tags_says_that_it_was_paid_twice() -> None:
    found = judge(only(lost(), attempt(2)), [bill("r-2", 2), bill()], NOW, 3_600)
    assert (found.was_paid, found.was_paid_twice, found.usd, found.request_ids) == (True, True, 0.003, ("r-9",))


def test_without_a_bill_it_was_not_paid_once_bills_have_come() -> None:
    doubt = only(lost(), attempt(2))
    assert judge(doubt, [bill("r-2", 2)], NOW, 3_600).was_paid_twice is False
    assert judge(doubt, [bill("r-2", 1)], NOW, 3_600).was_paid is False, "a request that the row knows is no other"
    assert judge(doubt, [], NOW, 8_000).was_paid_twice is None


def test_a_repeat_that_cost_nothing_is_not_paid_twice() -> None:
    free = Cost(0.0, 0, "megapixel", estimated=False)
    assert judge(only(lost(), attempt(2, cost=free)), [bill()], NOW, 0).was_paid_twice is False


def test_the_counts_have_every_finding() -> None:
    repeated, ended = only(lost(), attempt(2)), only(lost(), stage=Stage.FAILED)
    found = [Finding(repeated, paid, "") for paid in (True, True, False, None)] + [Finding(ended, True, "")]
    assert count(found) == {
        "possible_duplicates": 5,
        "paid_twice": 2,
        "not_paid_twice": 2,
        "not_known": 1,
        "not_repeated": 1,
    }
    assert finding_as_json(found[0])["known_requests"] == ["r-2"]
