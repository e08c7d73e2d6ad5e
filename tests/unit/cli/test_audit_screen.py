"""An audit's report on the terminal."""

from io import StringIO

from rich.console import Console

from tests.unit.money.test_audit import WINDOW, attempt, bill, entries, job, tagged
from worker.cli.screen.audit import MOST, show_report
from worker.jobs.cost import Cost
from worker.jobs.job import Ticket
from worker.money.audit_report import Report, Sum, as_json, check_sums


def shown(report: Report) -> str:
    out = StringIO()
    show_report(Console(file=out, width=160), report)
    return out.getvalue()


def test_a_report_without_drift_says_so_at_the_end() -> None:
    text = shown(Report(WINDOW, tuple(entries(job(), bills=[bill()])), rows=1, events=1))
    assert "booked 0.0060 USD (between 0.0060 USD and 0.0060 USD), billed 0.0060 USD, drift +0.0000 USD" in text
    assert text.endswith("1 rows, 1 bills: 1 agree\nno drift\n")


def test_a_difference_within_bounds_is_explained() -> None:
    about = Cost(0.008, 2, "megapixel", estimated=True, lower_usd=0.003, upper_usd=0.009)
    report = Report(WINDOW, tuple(entries(job(attempt(cost=about)), bills=[bill()])), rows=1, events=1)
    assert (
        "0.0080 USD of booked is estimated, for 1 attempt: between 0.0030 USD and 0.0090 USD; billed 0.0060 USD."
        in " ".join(shown(report).split())
    )
    sums = as_json(report)["totals"]
    assert (sums["estimated"], sums["estimated_usd"], sums["estimated_billed_usd"]) == (1, 0.008, 0.006)
    assert (sums["estimated_lower_usd"], sums["estimated_upper_usd"], sums["drift_usd"]) == (0.003, 0.009, 0.0)


def test_exact_costs_need_no_explanation() -> None:
    assert "estimated" not in shown(Report(WINDOW, tuple(entries(job(), bills=[bill()])), rows=1, events=1))


def test_an_empty_time_is_not_called_fine_without_a_word() -> None:
    assert "0 rows, 0 bills: nothing in this time" in shown(Report(WINDOW, ()))


def test_drift_names_job_request_and_reason() -> None:
    found = entries(job(attempt(ticket=Ticket("r-1"))), bills=[bill(usd=0.009), tagged("r-9", "gone")])
    text = shown(Report(WINDOW, tuple(found), notes=("a note",)))
    assert (
        "billed out of bounds: a attempt 1, fal-ai/flux/schnell, request r-1: booked 0.0060 USD, billed 0.0090" in text
    )
    assert "paid and not booked: gone attempt 1" in text and "! a note" in text and text.endswith("drift\n")


def test_a_long_list_is_cut_and_says_so() -> None:
    found = entries(bills=[tagged(f"r-{number}", f"gone-{number}") for number in range(MOST + 2)])
    assert "… and 2 more: --json has all" in shown(Report(WINDOW, tuple(found)))


def test_a_bill_in_sum_is_shown_with_its_bounds() -> None:
    checks = check_sums([], [Sum("google", "veo", 1, 0.2)], lambda name: name)
    assert "google veo in sum: 0 attempts, 0.0000 USD to 0.0000 USD; billed 0.2000 USD" in shown(
        Report(WINDOW, (), checks)
    )
