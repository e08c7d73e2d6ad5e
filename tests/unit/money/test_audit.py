"""The ledger against the bills: each verdict, the sums, and what an attempt's row claims."""

from dataclasses import replace
from typing import Any

import pytest

from worker.jobs.job import Attempt, Cost, ErrorRecord, Job, Options, Receipt, Stage, Step, Ticket
from worker.money.audit import CHECKED, Entry, Verdict, Window, audit
from worker.money.audit_report import Report, Sum, as_json, check_sums, totals, totals_by
from worker.money.bills import Bill, Bills, sum_by_request
from worker.money.booked import booked_attempts
from worker.providers.fal.billing_events import BillingEvent

NOW = 1_700_000_000.0
ENDED = NOW - 7_200
WINDOW = Window(since=NOW - 86_400, until=NOW + 60, now=NOW, lag_s=3_600, kept_s=7 * 86_400)
ENDPOINT = "fal-ai/flux/schnell"
COST = Cost(0.006, 2, "megapixel", estimated=False)
PLAIN = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options("acme"), ENDED)
LOST = ErrorRecord("submit_unknown", "nobody knows")


def attempt(number: int = 1, **changes: Any) -> Attempt:
    usual: dict[str, Any] = {"ticket": Ticket(f"r-{number}"), "ended_at": ENDED, "cost": COST}
    return Attempt(number, "fal", ENDPOINT, ENDED - 10, **(usual | changes))


def job(*attempts: Attempt, stage: Stage = Stage.COMPLETED, **changes: Any) -> Job:
    ending = stage if stage in {Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED} else None
    return replace(PLAIN, stage=stage, ending=ending, attempts=attempts or (attempt(),), **changes)


def bill(request_id: str = "r-1", usd: float | None = 0.006, at: float = ENDED, tags: Any = None) -> Bill:
    return Bill(request_id, ENDPOINT, usd, at, tags)


def tagged(request_id: str, job_id: str = "a", number: int = 1, **changes: Any) -> Bill:
    return bill(request_id, tags={"job": job_id, "attempt": str(number)}, **changes)


def entries(*jobs: Job, bills: Any = (), tags_missing: str | None = None, window: Window = WINDOW) -> list[Entry]:
    booked = [one for each in jobs for one in booked_attempts(each)]
    return audit(booked, Bills(tuple(bills), tags_missing), window)


def only(*jobs: Job, **given: Any) -> Entry:
    (entry,) = entries(*jobs, **given)
    return entry


def test_a_bill_as_booked_agrees() -> None:
    entry = only(job(), bills=[bill()])
    assert (entry.verdict, entry.drift_usd, entry.billed_usd) == (Verdict.AGREES, 0.0, 0.006)
    assert (entry.job_id, entry.attempt, entry.tenant, entry.model) == ("a", 1, "acme", "flux-schnell")


@pytest.mark.parametrize(("billed", "drift"), [(0.009, 0.003), (0.003, -0.003), (0.006_01, 0.0), (0.006_02, 0.000_02)])
def test_an_exact_cost_must_be_the_bill(billed: float, drift: float) -> None:
    entry = only(job(), bills=[bill(usd=billed)])
    assert entry.verdict is (Verdict.DRIFT if drift else Verdict.AGREES)
    assert entry.drift_usd == pytest.approx(drift)


def test_an_exact_cost_without_a_bill_is_booked_and_not_paid() -> None:
    entry = only(job())
    assert (entry.verdict, entry.drift_usd, entry.request_ids) == (Verdict.BOOKED_NOT_PAID, -0.006, ("r-1",))


def test_a_bill_that_may_still_come_is_not_missed() -> None:
    assert only(job(attempt(ended_at=NOW - 3_500))).verdict is Verdict.PENDING
    assert only(job(attempt(ended_at=NOW - 3_700))).verdict is Verdict.BOOKED_NOT_PAID


def test_a_paid_attempt_without_a_cost_is_drift() -> None:
    entry = only(job(attempt(cost=None)), bills=[bill()])
    assert (entry.verdict, entry.drift_usd) == (Verdict.PAID_NOT_BOOKED, 0.006)


def test_what_cost_nothing_and_has_no_bill_agrees() -> None:
    assert only(job(attempt(cost=Cost(0.0, 0, "megapixel", estimated=False)))).verdict is Verdict.AGREES
    assert only(job(attempt(cost=None))).verdict is Verdict.AGREES


def test_a_refused_attempt_is_no_entry() -> None:
    assert entries(job(attempt(ticket=None, cost=None, error=ErrorRecord("request_refused", "no")))) == []


def test_a_refused_attempt_that_was_billed_all_the_same_is_drift() -> None:
    refused = attempt(ticket=None, cost=None, error=ErrorRecord("rate_limited", "slow", "fal", 429))
    first, _ = entries(job(refused, attempt(2)), bills=[tagged("r-9"), bill("r-2")])
    assert (first.verdict, first.attempt, first.why) == (Verdict.PAID_NOT_BOOKED, 1, "its row has no cost")


def test_a_cost_without_a_price_is_unknown_and_never_fine() -> None:
    entry = only(job(attempt(cost=Cost(None, 2, None, estimated=True))), bills=[bill()])
    assert (entry.verdict, entry.billed_usd) == (Verdict.UNKNOWN, 0.006)


@pytest.mark.parametrize(("billed", "drift"), [(0.002, -0.001), (0.003, 0.0), (0.009, 0.0), (0.012, 0.003)])
def test_an_estimate_has_no_drift_within_its_bounds(billed: float, drift: float) -> None:
    about = Cost(0.006, 2, "megapixel", estimated=True, lower_usd=0.003, upper_usd=0.009)
    entry = only(job(attempt(cost=about)), bills=[bill(usd=billed)])
    assert entry.verdict is (Verdict.DRIFT if drift else Verdict.AGREES)
    assert entry.drift_usd == pytest.approx(drift)


def test_a_lost_attempt_may_have_cost_nothing_or_its_upper_bound() -> None:
    most = Cost(0.006, 2, "megapixel", estimated=True, lower_usd=0.0, upper_usd=0.006)
    lost = job(attempt(ticket=None, error=LOST, cost=most))
    assert only(lost).verdict is only(lost, bills=[tagged("r-9")]).verdict is Verdict.AGREES
    assert only(lost, bills=[tagged("r-8"), tagged("r-9")]).verdict is Verdict.DRIFT, "it was taken twice"


def test_a_lost_attempt_is_found_by_its_tag() -> None:
    lost, again = attempt(ticket=None, error=LOST, cost=None), attempt(2)
    first, second = entries(job(lost, again), bills=[tagged("r-9"), tagged("r-2", number=2)])
    assert (first.verdict, first.attempt, first.request_ids) == (Verdict.PAID_NOT_BOOKED, 1, ("r-9",))
    assert (second.verdict, second.attempt) == (Verdict.AGREES, 2)


def test_a_lost_attempt_that_was_never_billed_agrees() -> None:
    lost = attempt(ticket=None, error=LOST, cost=None)
    assert [one.verdict for one in entries(job(lost, attempt(2)), bills=[bill("r-2")])] == [Verdict.AGREES] * 2


def test_a_second_request_of_an_attempt_is_paid_and_not_booked() -> None:
    entry, second = entries(job(), bills=[tagged("r-1"), tagged("r-9", at=ENDED + 1)])
    assert (entry.verdict, second.verdict, second.drift_usd) == (Verdict.AGREES, Verdict.PAID_NOT_BOOKED, 0.006)
    assert second.tenant == "acme" and "a second request of attempt 1" in second.why


def test_a_request_of_an_attempt_that_the_row_does_not_have() -> None:
    _, other = entries(job(), bills=[tagged("r-1"), tagged("r-9", number=2, at=ENDED + 1)])
    assert other.verdict is Verdict.PAID_NOT_BOOKED and other.why == "its row has no attempt 2"


def test_a_paid_job_without_a_row_is_drift_until_its_row_may_have_expired() -> None:
    assert only(bills=[tagged("r-9", "gone")]).verdict is Verdict.PAID_NOT_BOOKED
    long = replace(WINDOW, since=0)
    assert only(bills=[tagged("r-9", "gone", at=NOW - 8 * 86_400)], window=long).verdict is Verdict.NOT_CHECKABLE


def test_a_bill_of_others_is_not_ours() -> None:
    assert only(bills=[bill(tags={})]).verdict is Verdict.FOREIGN
    assert only(bills=[bill(tags={"team": "design"})]).verdict is Verdict.FOREIGN
    assert only(bills=[bill()]).verdict is Verdict.FOREIGN, "the events with tags would have it by now"
    assert only(bills=[bill(at=NOW - 60)]).verdict is Verdict.PENDING
    assert only(bills=[bill()], tags_missing="off").verdict is Verdict.NOT_CHECKABLE


def test_an_open_attempt_is_not_judged() -> None:
    waiting = job(attempt(ended_at=None, cost=None), stage=Stage.WAITING)
    assert only(waiting, bills=[bill()]).verdict is Verdict.PENDING
    sent = job(attempt(ended_at=None, cost=None, ticket=None), stage=Stage.SUBMITTING)
    assert only(sent, bills=[tagged("r-1")]).verdict is Verdict.PENDING


def test_a_cancelled_run_is_booked_by_its_receipt() -> None:
    cancelled = job(attempt(cost=None), stage=Stage.CANCELLED, receipt=Receipt(ENDED, told=True, cost=COST))
    assert only(cancelled, bills=[bill()]).verdict is Verdict.AGREES


def test_a_provider_without_a_billing_api_is_not_checkable() -> None:
    entry = only(job(replace(attempt(ticket=None, answered=True), provider="vertex")))
    assert (entry.verdict, entry.why) == (Verdict.NOT_CHECKABLE, "not checkable at vertex")
    assert entry.verdict not in CHECKED


def test_a_bill_without_a_price_is_not_checkable() -> None:
    assert only(job(), bills=[bill(usd=None)]).verdict is Verdict.NOT_CHECKABLE
    assert only(bills=[tagged("r-9", "gone", usd=None)]).verdict is Verdict.NOT_CHECKABLE


def test_an_id_that_is_no_tag_is_found_by_its_hash() -> None:
    from worker.providers.fal.tags import job_tag

    odd = replace(job(attempt(ticket=None, error=LOST, cost=None)), id="job/7 ü")
    assert only(odd, bills=[tagged("r-9", job_tag("job/7 ü"))]).job_id == "job/7 ü"


def test_only_the_window_and_the_tenant_are_audited() -> None:
    other = replace(job(attempt(ticket=Ticket("r-5"))), id="b", options=Options("other"))
    bills = [bill(), bill("r-5")]
    assert [one.tenant for one in entries(job(), other, bills=bills)] == ["acme", "other"]
    assert only(job(), other, bills=bills, window=replace(WINDOW, tenant="other")).job_id == "b"
    assert entries(job(), bills=bills, window=replace(WINDOW, since=NOW - 60)) == []
    assert only(job(), bills=[bill(at=NOW - 100_000)], window=replace(WINDOW, since=0, until=NOW - 90_000)).attempt == 1


def test_the_events_of_a_request_are_one_bill() -> None:
    events = [BillingEvent("r", "e", 1, usd, at) for usd, at in ((0.5, 1.0), (-0.2, 3.0))]
    (found,) = sum_by_request([*events, BillingEvent("q", "e", 1, None, 2.0)][:2], {"r": {"job": "a"}})
    assert (found.usd, found.at, found.job, found.attempt) == (0.3, 3.0, "a", None)


def test_the_sums_have_what_was_checked_only() -> None:
    wrong = replace(job(attempt(ticket=Ticket("r-5"))), id="b", options=Options())
    away = replace(job(replace(attempt(ticket=None, answered=True), provider="vertex")), id="c")
    found = entries(job(), wrong, away, bills=[bill(), bill("r-5", usd=0.01)])
    total = totals(found)
    assert (total.attempts, total.wrong, total.booked_usd, total.billed_usd) == (2, 1, 0.012, 0.016)
    assert total.drift_usd == pytest.approx(0.004)
    assert {name: one.wrong for name, one in totals_by(found, lambda one: one.tenant or "").items()} == {
        "": 1, "acme": 0,
    }  # fmt: skip


def test_the_report_as_json_lists_what_does_not_agree() -> None:
    found = entries(job(), replace(job(attempt(ticket=Ticket("r-5"))), id="b"), bills=[bill()])
    told = as_json(Report(WINDOW, tuple(found), rows=2, events=1))
    assert told["agrees"] is False and [one["job_id"] for one in told["entries"]] == ["b"]
    assert told["counts"]["agrees"] == told["counts"]["booked_not_paid"] == 1
    assert set(told["by_day"]) == {"2023-11-14"} and set(told["by_model"]) == {"flux-schnell"}


@pytest.mark.parametrize(("billed", "drift"), [(0.006, 0.0), (0.007, 0.001), (0.001, -0.005)])
def test_a_bill_in_sum_is_held_against_the_sum_of_the_bounds(billed: float, drift: float) -> None:
    found = entries(job(replace(attempt(ticket=None, answered=True), provider="vertex")))
    (check,) = check_sums(found, [Sum("google", ENDPOINT, 1, billed)], lambda name: "google")
    assert (check.attempts, check.calls) == (1, 1) and check.drift_usd == pytest.approx(drift)
    assert Report(WINDOW, tuple(found), (check,)).agrees is (drift == 0)


def test_a_pipeline_is_not_counted_beside_its_steps() -> None:
    own = Attempt(1, "pipeline", "editing.sticker", ENDED - 10, ticket=Ticket("a"), ended_at=ENDED, cost=COST)
    pipeline = job(own, step=Step("pipeline:editing.sticker", {}, ()))
    (entry,) = entries(pipeline, job(id="b"), bills=[bill()])
    assert entry.job_id == "b" and entry.verdict is Verdict.AGREES
