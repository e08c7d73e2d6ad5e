"""Submissions that were paid again or came too late: which are within the promise, and how they are counted."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.history import Death, ExpectedJob, History, StateRecord
from tests.chaos.payments import by_provider
from tests.chaos.repeats import find_late_submissions, find_repeats
from tests.unit.chaos.example_history import JOB, attempt, doc, good_history, request, set_row

LOST = {"trouble": {"code": "submit_unknown", "message": "lost"}}
REFUSED = {"trouble": {"code": "rate_limited", "message": "too many"}}


def paid_twice_at_fal(first: dict[str, Any], marked: bool = True) -> History:
    history = good_history()
    set_row(history, "completed", doc=doc(attempt(1, None, **first), attempt(2, possible_duplicate=marked)))
    history.requests = [request("request-0", accepted_at=10.0), request(number=2, accepted_at=90.0)]
    return history


def paid_twice_at_vertex(duplicates: str | None, killed_at: float | None, usd: float = 0.0355) -> History:
    history = good_history()
    at_vertex = {"provider": "vertex", "endpoint": "gemini", "answered": True}
    attempts = [attempt(1, None, **at_vertex, **LOST), attempt(2, None, **at_vertex, possible_duplicate=True)]
    set_row(history, "completed", doc=doc(*attempts))
    call = {
        "billed": {"units": 1.0, "usd": usd},
        "endpoint": "gemini",
        "provider": "google",
        "headers": {},
        "input": {"contents": [{"text": "chaos job 1.1"}]},
    }
    history.requests = [
        request("request-0", accepted_at=10.0, completed_at=14.0, **call),
        request("request-1", accepted_at=40.0, completed_at=44.0, **call),
    ]
    expected = ExpectedJob(1, 1, "vertex", JOB, "nano", "images", provider="vertex", duplicates=duplicates)
    history.expected_jobs = [expected]
    history.deaths = [] if killed_at is None else [Death(killed_at, "worker-1")]
    return history


def test_a_lost_answer_at_fal_is_never_paid_again_marked_or_not() -> None:
    assert "webhook and list" in dict(find_repeats(paid_twice_at_fal(LOST)))[JOB]
    assert "0 attempts are marked" in dict(find_repeats(paid_twice_at_fal(LOST, marked=False)))[JOB]


def test_an_error_of_fal_after_it_took_the_job_may_be_paid_again_if_it_is_marked() -> None:
    assert list(find_repeats(paid_twice_at_fal(REFUSED))) == []
    assert list(find_repeats(paid_twice_at_fal(REFUSED, marked=False))) != []


@pytest.mark.parametrize(
    ("duplicates", "killed_at", "why"),
    [
        ("allow", 12.0, None),
        ("allow", None, "no worker was killed"),
        ("allow", 30.0, "no worker was killed"),
        (None, 12.0, "did not allow"),
        ("never", 12.0, "did not allow"),
    ],
)
def test_elsewhere_only_a_death_inside_a_call_that_may_be_repeated(
    duplicates: str | None, killed_at: float | None, why: str | None
) -> None:
    found = dict(find_repeats(paid_twice_at_vertex(duplicates, killed_at)))
    assert (why in found[JOB]) if why else not found


def test_a_cheap_call_may_be_repeated_unless_the_caller_says_never() -> None:
    assert list(find_repeats(paid_twice_at_vertex(None, 12.0, usd=0.0004))) == []
    assert list(find_repeats(paid_twice_at_vertex("never", 12.0, usd=0.0004))) != []


def test_figures_are_counted_by_provider() -> None:
    figures = by_provider(paid_twice_at_vertex("allow", 12.0))["vertex"]
    assert figures == {"jobs": 1, "paid": 2, "marked": 1, "marked_paid_twice": 1, "unmarked": 0, "paid_per_job": 2.0}
    assert by_provider(paid_twice_at_fal(LOST, marked=False))["fal"]["unmarked"] == 1


def test_a_job_that_was_told_revoked_is_not_submitted_later() -> None:
    history = good_history()
    history.states[JOB] = [StateRecord(5.0, "polled", "REVOKED", "r")]
    history.requests = [request(accepted_at=4.0)]
    assert list(find_late_submissions(history)) == []
    history.requests = [request(accepted_at=6.0)]
    assert list(find_late_submissions(history)) == [(JOB, "told REVOKED, and submitted 1.0 s later")]


def test_a_job_whose_cancel_was_noted_before_its_row_is_not_submitted() -> None:
    history = replace(good_history(), requests=[request(accepted_at=6.0)], noted_cancels={JOB: 5.0})
    assert list(find_late_submissions(history)) == [(JOB, "its cancel was noted, and it was submitted 1.0 s later")]
