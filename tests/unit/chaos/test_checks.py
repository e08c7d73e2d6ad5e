"""Each check finds a broken promise; a check that cannot fail proves nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checks import PROMISES, check
from tests.chaos.history import FetchedFile, History, RowVersion, StateRecord
from tests.unit.chaos.example_history import JOB, attempt, doc, good_history, request, set_result, set_row


def test_a_run_that_went_well_breaks_no_promise() -> None:
    assert check(good_history()) == {name: [] for name in PROMISES}


def test_the_promises_are_the_eight_by_name() -> None:
    assert list(PROMISES) == [
        "no_job_lost", "paid_once", "one_ending", "ticket_first",
        "whole_piece", "no_silent_swap", "money_adds_up", "no_secret_out",
    ]  # fmt: skip


def _result_never_came(history: History) -> None:
    history.results.clear()


def _row_does_not_move(history: History) -> None:
    set_row(history, "waiting")


def _row_is_gone(history: History) -> None:
    history.rows.clear()


def _row_without_a_caller_does_not_move(history: History) -> None:
    history.rows["other"] = replace(history.rows[JOB], stage="sent")


def _attempt_was_accepted_twice(history: History) -> None:
    history.requests.append(request("request-2", polls=0))


def _job_has_more_submissions_than_attempts(history: History) -> None:
    history.requests.append(request("request-2", number=2, polls=0))


def _paid_again_without_a_mark(history: History) -> None:
    set_row(history, "completed", doc=doc(attempt(1, "request-2"), attempt(2)))
    history.requests = [request("request-2"), request(number=2)]


def _submission_without_a_job(history: History) -> None:
    history.requests.append(request("request-2", "stranger", input={"prompt": "chaos job 9.1"}, polls=0))


def _final_state_changed(history: History) -> None:
    history.states[JOB].append(StateRecord(4.0, "published", "FAILURE", "f"))


def _result_changed(history: History) -> None:
    history.states[JOB].append(StateRecord(4.0, "published", "SUCCESS", "other"))


def _ending_turned_back_into_progress(history: History) -> None:
    history.states[JOB].append(StateRecord(4.0, "published", "IN_PROGRESS", "p"))


def _final_row_was_open_again(history: History) -> None:
    history.row_versions[JOB].append(RowVersion(4.0, "waiting", 4, doc(attempt(), ending=None)))


def _row_was_written_after_its_end(history: History) -> None:
    history.row_versions[JOB].append(RowVersion(4.0, "completed", 5, doc(attempt())))


def _row_and_caller_disagree(history: History) -> None:
    set_row(history, "cancelled")


def _polled_without_a_ticket(history: History) -> None:
    set_row(history, "completed", doc=doc(attempt(request="another")))


def _waits_without_a_ticket(history: History) -> None:
    history.row_versions[JOB].insert(0, RowVersion(0.5, "waiting", 1, doc(attempt(request=None), ending=None)))


def _published_before_it_was_stored(history: History) -> None:
    history.states[JOB][-1] = replace(history.states[JOB][-1], missing=("a.png",))


def _file_is_broken(history: History) -> None:
    history.files = [FetchedFile(JOB, "http://gateway/a.png", "HTTP 404")]


def _file_is_missing(history: History) -> None:
    set_result(history, "SUCCESS", images=[])


def _file_was_not_fetched(history: History) -> None:
    history.files = []


def _forged_file_was_fetched(history: History) -> None:
    history.fetched_forged = ["/forged.png"]


def _another_model_served(history: History) -> None:
    set_result(history, "SUCCESS", model="flux-dev")


def _another_provider_served(history: History) -> None:
    set_result(history, "SUCCESS", provider="vertex")


def _another_endpoint_served(history: History) -> None:
    history.requests = [request(endpoint="fal-ai/flux/dev")]


def _picture_of_another_job(history: History) -> None:
    history.requests = [request(input={"prompt": "chaos job 2.1"})]


def _too_much_booked(history: History) -> None:
    history.requests = [request(billed={"units": 0.5, "usd": 0.0015})]


def _another_price_booked(history: History) -> None:
    history.requests = [request(billed={"units": 1.0, "usd": 0.03})]


def _bill_is_above_the_bounds(history: History) -> None:
    bounded = {"usd": 0.003, "units": 1.0, "per": "megapixel", "estimated": True, "upper_usd": 0.006}
    set_row(history, "completed", doc=doc(attempt(cost=bounded)))
    history.requests = [request(billed={"units": 4.0, "usd": 0.012})]


def _bill_is_below_the_bounds(history: History) -> None:
    bounded = {"usd": 0.03, "units": 1.0, "per": "image", "estimated": True, "lower_usd": 0.02, "upper_usd": 0.06}
    set_row(history, "completed", doc=doc(attempt(cost=bounded)))


def _nothing_booked(history: History) -> None:
    set_row(history, "completed", doc=doc(attempt(cost=None)))


def _nothing_booked_for_failed_work(history: History) -> None:
    set_row(history, "failed", doc=doc(attempt(cost=None), ending="failed"))


def _nothing_booked_for_a_cancel_that_came_too_late(history: History) -> None:
    set_row(history, "cancelled", doc=doc(attempt(cost=None), ending="cancelled") | {"receipt": {"in_time": False}})


def _another_sum_told(history: History) -> None:
    set_result(history, "SUCCESS", total_cost={"usd": 0.002, "lower_usd": 0.002, "upper_usd": 0.002})


def _audit_found_drift(history: History) -> None:
    history.audit = {"agrees": False, "entries": [{"job_id": JOB, "verdict": "paid_not_booked", "drift_usd": 0.003}]}


def _audit_failed(history: History) -> None:
    history.audit = {"error": "status 2: fal does not answer"}


def _submitted_after_its_end_was_told(history: History) -> None:
    history.states[JOB] = [StateRecord(1.0, "published", "REVOKED", "r")]
    set_row(history, "cancelled")
    set_result(history, "REVOKED")
    history.requests = [request(accepted_at=2.0)]


def _a_key_in_a_log(history: History) -> None:
    history.leaks = ["the fal key in worker-1.log"]


BROKEN: list[tuple[str, Callable[[History], None]]] = [
    ("no_job_lost", _result_never_came),
    ("no_job_lost", _row_does_not_move),
    ("no_job_lost", _row_is_gone),
    ("no_job_lost", _row_without_a_caller_does_not_move),
    ("paid_once", _attempt_was_accepted_twice),
    ("paid_once", _job_has_more_submissions_than_attempts),
    ("paid_once", _paid_again_without_a_mark),
    ("paid_once", _submission_without_a_job),
    ("one_ending", _final_state_changed),
    ("one_ending", _result_changed),
    ("one_ending", _ending_turned_back_into_progress),
    ("one_ending", _final_row_was_open_again),
    ("one_ending", _row_was_written_after_its_end),
    ("one_ending", _row_and_caller_disagree),
    ("ticket_first", _polled_without_a_ticket),
    ("ticket_first", _waits_without_a_ticket),
    ("ticket_first", _published_before_it_was_stored),
    ("whole_piece", _file_is_broken),
    ("whole_piece", _file_is_missing),
    ("whole_piece", _file_was_not_fetched),
    ("whole_piece", _forged_file_was_fetched),
    ("no_silent_swap", _another_model_served),
    ("no_silent_swap", _another_provider_served),
    ("no_silent_swap", _another_endpoint_served),
    ("no_silent_swap", _picture_of_another_job),
    ("money_adds_up", _too_much_booked),
    ("money_adds_up", _another_price_booked),
    ("money_adds_up", _bill_is_above_the_bounds),
    ("money_adds_up", _bill_is_below_the_bounds),
    ("money_adds_up", _nothing_booked),
    ("money_adds_up", _another_sum_told),
    ("money_adds_up", _audit_found_drift),
    ("money_adds_up", _audit_failed),
    ("one_ending", _submitted_after_its_end_was_told),
    ("money_adds_up", _nothing_booked_for_failed_work),
    ("money_adds_up", _nothing_booked_for_a_cancel_that_came_too_late),
    ("no_secret_out", _a_key_in_a_log),
]


@pytest.mark.parametrize(("promise", "spoil"), BROKEN, ids=[f"{name}-{how.__name__[1:]}" for name, how in BROKEN])
def test_a_broken_promise_is_found_by_its_name(promise: str, spoil: Callable[[History], None]) -> None:
    history = good_history()
    spoil(history)
    assert check(history)[promise], "the check found nothing"


def test_a_possible_duplicate_that_is_marked_is_allowed() -> None:
    history = good_history()
    set_row(history, "completed", doc=doc(attempt(1, None), attempt(2, possible_duplicate=True)))
    history.requests = [request("request-2", polls=0), request(number=2)]
    assert check(history)["paid_once"] == []


def test_an_attempt_that_failed_unbilled_may_be_followed_by_another() -> None:
    history = good_history()
    set_row(history, "completed", doc=doc(attempt(1, "request-2", cost=None), attempt(2)))
    history.requests = [request("request-2", billed={"units": 0.0, "usd": 0.0}), request(number=2)]
    assert not any(check(history).values())


def test_a_run_of_unknown_end_after_a_cancel_may_have_been_billed() -> None:
    history = good_history()
    set_row(history, "cancelled", doc=doc(attempt(cost=None), ending="cancelled") | {"receipt": {"asked_at": 1.0}})
    assert check(history)["money_adds_up"] == []


def test_a_job_that_may_not_have_been_sent_needs_no_result() -> None:
    history = History(expected_jobs=[replace(good_history().expected_jobs[0], id=None, sent=False)])
    assert not any(check(history).values())


def test_a_request_without_tags_is_known_by_its_ticket_or_its_words() -> None:
    history = good_history()
    history.requests = [request(headers={}), request("request-2", headers={}, polls=0)]
    (violation,) = check(history)["paid_once"][:1]
    assert violation.job == JOB
    assert "2 submissions were accepted for 1 attempts" in violation.text
