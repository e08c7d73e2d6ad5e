"""Finds submissions that were paid again or came too late: a part of the promises `paid_once` and `one_ending`.

A repeated submission is within the promise only if it is marked, and:
* at fal, if the first answer was an error in fal's own words: a lost answer is found by the webhook or the list;
* elsewhere, if a worker was killed during the first call, and the caller allowed duplicates or did not mind about a call
  as cheap as this one (`KILNHAND_DUPLICATE_USD`).
"""

from collections.abc import Iterator

from config.settings import DUPLICATE_USD
from tests.chaos.history import History
from tests.chaos.payments import JobPayments, Payment, job_payments, payments
from tests.chaos.pipelines import steps_by_pipeline

LOST = "submit_unknown"  # the error code of an attempt whose answer was lost
BEFORE_CALL_S, AFTER_CALL_S = (
    1.5,
    14.0,
)  # a slow answer comes up to 12 s after the twin's end of the call, and is then written
CLOCK_MARGIN_S = 0.1


def find_repeats(history: History) -> Iterator[tuple[str, str]]:
    """Return repeated payments that the promise does not allow."""
    for each in job_payments(history):
        if each.unmarked_repeats:
            yield each.job, f"{len(each.paid)} submissions were billed, {each.marked} attempts are marked"
        elif each.marked_repeats and (why := _why_forbidden(history, each)):
            first, *others = each.paid
            later = ", ".join(f"{other.accepted_at - first.accepted_at:.1f} s later" for other in others)
            yield each.job, f"a marked duplicate was really paid twice at {first.provider} ({later}): {why}"


def _why_forbidden(history: History, each: JobPayments) -> str:
    """Return why a marked duplicate should not have been paid twice; empty if it is allowed."""
    first = each.paid[0]
    if first.provider == "fal":
        return "" if first.attempt and not _was_lost(history, first) else "fal's webhook and list show the first one"
    said = next((expected.duplicates for expected in history.expected_jobs if expected.id == each.job), None)
    if said == "never" or (said is None and first.usd > DUPLICATE_USD):
        return "the caller did not allow duplicates"
    return "" if _worker_died_in(history, first) else "no worker was killed during the first call"


def _was_lost(history: History, payment: Payment) -> bool:
    """Whether the attempt of this payment ended because its answer was lost."""
    row = history.rows.get(payment.job or "")
    attempts = row.doc.get("attempts", []) if row else []
    errors = [attempt.get("trouble") or {} for attempt in attempts if attempt.get("number") == payment.attempt]
    return any(error.get("code") == LOST for error in errors)


def _worker_died_in(history: History, call: Payment) -> bool:
    ended_at = (call.ended_at or call.accepted_at) + AFTER_CALL_S
    return any(call.accepted_at - BEFORE_CALL_S <= death.at <= ended_at for death in history.deaths)


def find_late_submissions(history: History) -> Iterator[tuple[str, str]]:
    """Return jobs that were submitted after their caller was told REVOKED, or after a cancel that came before the row."""
    revoked = {
        job: min(state.at for state in states if state.state == "REVOKED")
        for job, states in history.states.items()
        if any(state.state == "REVOKED" for state in states)
    }
    pipelines = {step: pipeline for pipeline, steps in steps_by_pipeline(history).items() for step in steps}
    for each in payments(history):
        told_at = revoked.get(each.job or "") or revoked.get(pipelines.get(each.job or "", ""))
        noted_at = history.noted_cancels.get(each.job or "")
        if each.job and told_at is not None and each.accepted_at > told_at + CLOCK_MARGIN_S:
            yield each.job, f"told REVOKED, and submitted {each.accepted_at - told_at:.1f} s later"
        elif each.job and noted_at is not None and each.accepted_at > noted_at + CLOCK_MARGIN_S:
            yield each.job, f"its cancel was noted, and it was submitted {each.accepted_at - noted_at:.1f} s later"


def told_revoked_and_run(history: History) -> int:
    """Return how many jobs were submitted after their end or their cancel was told."""
    return len({job for job, _ in find_late_submissions(history)})
