"""Each promise is seen broken: a checker that cannot go red proves nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checks import PROMISES, check
from tests.chaos.history import File, History, Seen, Sight
from tests.unit.chaos import story
from tests.unit.chaos.story import JOB, attempt, doc, request, row, told, well


def test_a_run_that_went_well_breaks_no_promise() -> None:
    assert check(well()) == {name: [] for name in PROMISES}


def test_the_promises_are_the_eight_by_name() -> None:
    assert list(PROMISES) == [
        "no_job_lost", "paid_once", "one_ending", "ticket_first",
        "whole_piece", "no_silent_swap", "money_adds_up", "no_secret_out",
    ]  # fmt: skip


def _result_never_came(seen: History) -> None:
    seen.results.clear()


def _row_stands_still(seen: History) -> None:
    row(seen, "waiting")


def _row_is_gone(seen: History) -> None:
    seen.rows.clear()


def _row_of_nobody_stands_still(seen: History) -> None:
    seen.rows["other"] = replace(seen.rows[JOB], stage="sent")


def _attempt_was_taken_twice(seen: History) -> None:
    seen.requests.append(request("request-2", polls=0))


def _job_was_taken_more_often_than_tried(seen: History) -> None:
    seen.requests.append(request("request-2", number=2, polls=0))


def _paid_again_without_a_mark(seen: History) -> None:
    row(seen, "completed", doc=doc(attempt(1, "request-2"), attempt(2)))
    seen.requests = [request("request-2"), request(number=2)]


def _taken_for_nobody(seen: History) -> None:
    seen.requests.append(request("request-2", "stranger", input={"prompt": "chaos job 9.1"}, polls=0))


def _ending_changed_for_its_reader(seen: History) -> None:
    seen.states[JOB].append(Seen(4.0, "published", "FAILURE", "f"))


def _result_changed_for_its_reader(seen: History) -> None:
    seen.states[JOB].append(Seen(4.0, "published", "SUCCESS", "other"))


def _ending_turned_back_into_progress(seen: History) -> None:
    seen.states[JOB].append(Seen(4.0, "published", "IN_PROGRESS", "p"))


def _row_came_back_to_life(seen: History) -> None:
    seen.sights[JOB].append(Sight(4.0, "waiting", 4, doc(attempt(), ending=None)))


def _row_was_written_after_its_end(seen: History) -> None:
    seen.sights[JOB].append(Sight(4.0, "completed", 5, doc(attempt())))


def _row_and_caller_disagree(seen: History) -> None:
    row(seen, "cancelled")


def _looked_at_without_a_ticket(seen: History) -> None:
    row(seen, "completed", doc=doc(attempt(request="another")))


def _waits_without_a_ticket(seen: History) -> None:
    seen.sights[JOB].insert(0, Sight(0.5, "waiting", 1, doc(attempt(request=None), ending=None)))


def _told_before_it_was_stored(seen: History) -> None:
    seen.states[JOB][-1] = replace(seen.states[JOB][-1], missing=("a.png",))


def _file_is_broken(seen: History) -> None:
    seen.files = [File(JOB, "http://gateway/a.png", "HTTP 404")]


def _file_is_missing(seen: History) -> None:
    told(seen, "SUCCESS", images=[])


def _file_was_not_fetched(seen: History) -> None:
    seen.files = []


def _forged_file_was_fetched(seen: History) -> None:
    seen.fetched_forged = ["/forged.png"]


def _another_model_served(seen: History) -> None:
    told(seen, "SUCCESS", model="flux-dev")


def _another_provider_served(seen: History) -> None:
    told(seen, "SUCCESS", provider="vertex")


def _another_endpoint_served(seen: History) -> None:
    seen.requests = [request(endpoint="fal-ai/flux/dev")]


def _somebody_elses_picture(seen: History) -> None:
    seen.requests = [request(input={"prompt": "chaos job 2.1"})]


def _too_much_booked(seen: History) -> None:
    seen.requests = [request(billed={"units": 0.5, "usd": 0.0015})]


def _another_price_booked(seen: History) -> None:
    seen.requests = [request(billed={"units": 1.0, "usd": 0.03})]


def _nothing_booked(seen: History) -> None:
    row(seen, "completed", doc=doc(attempt(cost=None)))


def _nothing_booked_for_failed_work(seen: History) -> None:
    row(seen, "failed", doc=doc(attempt(cost=None), ending="failed"))


def _nothing_booked_for_a_cancel_in_vain(seen: History) -> None:
    row(seen, "cancelled", doc=doc(attempt(cost=None), ending="cancelled") | {"receipt": {"in_time": False}})


def _a_key_in_a_log(seen: History) -> None:
    seen.leaks = ["the fal key in worker-1.log"]


BROKEN: list[tuple[str, Callable[[History], None]]] = [
    ("no_job_lost", _result_never_came),
    ("no_job_lost", _row_stands_still),
    ("no_job_lost", _row_is_gone),
    ("no_job_lost", _row_of_nobody_stands_still),
    ("paid_once", _attempt_was_taken_twice),
    ("paid_once", _job_was_taken_more_often_than_tried),
    ("paid_once", _paid_again_without_a_mark),
    ("paid_once", _taken_for_nobody),
    ("one_ending", _ending_changed_for_its_reader),
    ("one_ending", _result_changed_for_its_reader),
    ("one_ending", _ending_turned_back_into_progress),
    ("one_ending", _row_came_back_to_life),
    ("one_ending", _row_was_written_after_its_end),
    ("one_ending", _row_and_caller_disagree),
    ("ticket_first", _looked_at_without_a_ticket),
    ("ticket_first", _waits_without_a_ticket),
    ("ticket_first", _told_before_it_was_stored),
    ("whole_piece", _file_is_broken),
    ("whole_piece", _file_is_missing),
    ("whole_piece", _file_was_not_fetched),
    ("whole_piece", _forged_file_was_fetched),
    ("no_silent_swap", _another_model_served),
    ("no_silent_swap", _another_provider_served),
    ("no_silent_swap", _another_endpoint_served),
    ("no_silent_swap", _somebody_elses_picture),
    ("money_adds_up", _too_much_booked),
    ("money_adds_up", _another_price_booked),
    ("money_adds_up", _nothing_booked),
    ("money_adds_up", _nothing_booked_for_failed_work),
    ("money_adds_up", _nothing_booked_for_a_cancel_in_vain),
    ("no_secret_out", _a_key_in_a_log),
]


@pytest.mark.parametrize(("promise", "spoil"), BROKEN, ids=[f"{name}-{how.__name__[1:]}" for name, how in BROKEN])
def test_a_broken_promise_is_seen_by_its_name(promise: str, spoil: Callable[[History], None]) -> None:
    history = well()
    spoil(history)
    assert check(history)[promise], "the checker saw nothing"


def test_a_possible_duplicate_that_is_marked_is_allowed() -> None:
    history = well()
    row(history, "completed", doc=doc(attempt(1, None), attempt(2, possible_duplicate=True)))
    history.requests = [request("request-2", polls=0), request(number=2)]
    assert check(history)["paid_once"] == []


def test_an_attempt_that_failed_unbilled_may_be_followed_by_another() -> None:
    history = well()
    row(history, "completed", doc=doc(attempt(1, "request-2", cost=None), attempt(2)))
    history.requests = [request("request-2", billed={"units": 0.0, "usd": 0.0}), request(number=2)]
    assert not any(check(history).values())


def test_a_run_that_was_left_after_a_cancel_may_have_been_billed() -> None:
    history = well()
    row(history, "cancelled", doc=doc(attempt(cost=None), ending="cancelled") | {"receipt": {"asked_at": 1.0}})
    assert check(history)["money_adds_up"] == []


def test_a_job_that_nobody_knows_to_be_sent_may_be_unknown() -> None:
    history = History(wanted=[replace(well().wanted[0], id=None, sent=False)])
    assert not any(check(history).values())


def test_a_request_without_tags_is_known_by_its_ticket_or_its_words() -> None:
    history = well()
    history.requests = [request(headers={}), request("request-2", headers={}, polls=0)]
    (violation,) = check(history)["paid_once"][:1]
    assert (violation.job, story.JOB) == (JOB, JOB)
    assert "2 submissions were taken for 1 attempts" in violation.text
