"""The figures of the report: paid twice, recovery times, the success of a run."""

from typing import Any

import pytest

from tests.chaos.payments import Payment, paid_per_job, paid_twice
from tests.chaos.recovery import percentile, time_to_recovery
from tests.chaos.report import is_successful

GOOD: dict[str, Any] = {"violations": {}, "strangers": 0, "orphans": 0, "never_recovered": 0, "recovery_p99_s": 8.4}


def paid(job: str, attempt: int | None, billed: bool = True) -> Payment:
    return Payment(f"{job}-{attempt}", job, attempt, None, billed)


def test_an_attempt_taken_twice_counts_once() -> None:
    assert paid_twice([paid("a", 1), paid("a", 1), paid("b", 1)], {"a": 1, "b": 1}) == 1


def test_a_job_with_more_submissions_than_attempts_counts() -> None:
    assert paid_twice([paid("a", 1), paid("a", 2)], {"a": 1}) == 1


def test_two_attempts_with_a_submission_each_are_none() -> None:
    assert paid_twice([paid("a", 1), paid("a", 2)], {"a": 2}) == 0


def test_an_unbilled_submission_is_not_paid() -> None:
    assert paid_per_job([paid("a", 1, billed=False), paid("a", 2), paid("b", 1), paid("b", 2)]) == 1.5


@pytest.mark.parametrize(
    ("row", "now", "settled"),
    [
        ((4, 108.0, "waiting"), 105.0, None),  # unchanged: the dead worker may hold it
        ((4, 0.0, "waiting"), 105.0, -1.0),  # released by a live worker
        ((4, 110.0, "waiting"), 105.0, -1.0),  # renewed
        ((5, 113.0, "waiting"), 105.0, -1.0),  # released, and claimed again before the lease was over
        ((5, 116.2, "unknown"), 108.2, pytest.approx(8.2)),  # claimed after the lease
        ((6, 0.0, "completed"), 105.0, -1.0),
        ((0, 0.0, ""), 105.0, -1.0),
    ],
)
def test_a_recovery_is_the_next_claim_of_a_row_whose_lease_ran_out(
    row: tuple[int, float, str], now: float, settled: float | None
) -> None:
    assert time_to_recovery(100.0, (4, 108.0), row, now) == settled


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    assert percentile([], 0.99) is None


@pytest.mark.parametrize(
    "change",
    [
        {"violations": {"paid_once": 1}},
        {"strangers": 1},
        {"orphans": 1},
        {"never_recovered": 1},
        {"recovery_p99_s": 10.1},
    ],
)
def test_a_run_is_successful_only_if_nothing_is_wrong(change: dict[str, Any]) -> None:
    assert is_successful(GOOD)
    assert not is_successful(GOOD | change)
