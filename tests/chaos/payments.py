"""Matches the submissions that the twin accepted with attempts of jobs, and counts them by provider."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.chaos.history import History
from tests.chaos.input_marks import made_for
from tests.chaos.load import mark_of

_TAGS = re.compile(r"\bjob=([^,]+),attempt=(\d+)")


@dataclass(frozen=True)
class Payment:
    """An accepted submission. `job` is None if it belongs to no known job; `billed` if it cost money."""

    request_id: str
    job: str | None
    attempt: int | None
    mark: tuple[int, int] | None
    billed: bool
    endpoint: str = ""
    provider: str = "fal"  # ours if a row has an attempt at this endpoint, else the twin's
    accepted_at: float = 0.0
    ended_at: float | None = None
    usd: float = 0.0


@dataclass(frozen=True)
class JobPayments:
    """The billed submissions of one job, in order of time, and its attempts that are marked as possible duplicates."""

    job: str
    paid: tuple[Payment, ...]
    marked: int

    @property
    def repeats(self) -> int:
        """How many submissions were paid beside the first one."""
        return max(0, len(self.paid) - 1)

    @property
    def marked_repeats(self) -> int:
        """Marked duplicates that were really paid twice."""
        return min(self.repeats, self.marked)

    @property
    def unmarked_repeats(self) -> int:
        """Submissions that were paid again, and no attempt is marked for them."""
        return self.repeats - self.marked_repeats


def payments(history: History) -> list[Payment]:
    """Return all submissions that the twin accepted, matched by tags, else by the ticket on a row, else by the mark."""
    tickets = {
        attempt["ticket"]["request_id"]: (job, int(attempt["number"]))
        for job, row in history.rows.items()
        for attempt in row.doc.get("attempts", [])
        if attempt.get("ticket")
    }
    steps = {expected.id for expected in history.expected_jobs if expected.step_of}
    marks = {
        (expected.number, expected.part): expected.id
        for expected in history.expected_jobs
        if expected.id and not expected.step_of
    }
    marks |= {
        mark: job for job, row in history.rows.items() if (mark := mark_of(_request_of(row.doc))) and job not in steps
    }
    known = {*history.rows, *(expected.id for expected in history.expected_jobs if expected.id)}
    providers = {
        (job, attempt.get("endpoint")): str(attempt.get("provider"))
        for job, row in history.rows.items()
        for attempt in row.doc.get("attempts", [])
    }
    return [_payment(request, tickets, marks, known, providers) for request in history.requests]


def _request_of(doc: dict[str, Any]) -> dict[str, Any]:
    """Return the request on a row; before a worker has accepted the row it is in the message."""
    return doc.get("request") or (doc.get("message") or {}).get("kwargs") or {}


def _payment(
    request: dict[str, Any],
    tickets: dict[str, tuple[str, int]],
    marks: dict[tuple[int, int], str],
    known: set[str],
    providers: dict[tuple[str, Any], str],
) -> Payment:
    mark = made_for(request)
    tags = _TAGS.search(str((request.get("headers") or {}).get("x-fal-tags", "")))
    job: str | None
    attempt: int | None
    job, attempt = (tags[1], int(tags[2])) if tags else tickets.get(request["request_id"], (None, None))
    if job not in known:
        job, attempt = (marks.get(mark) if mark else None), None
    endpoint, billed = str(request.get("endpoint")), request.get("billed") or {}
    return Payment(
        request["request_id"],
        job,
        attempt,
        mark,
        bool(billed.get("units")),
        endpoint,
        providers.get((job or "", endpoint), str(request.get("provider") or "fal")),
        float(request.get("accepted_at") or 0.0),
        request.get("completed_at"),
        float(billed.get("usd") or 0.0),
    )


def job_payments(history: History) -> list[JobPayments]:
    """Return each job that was paid for, with its payments."""
    found: dict[str, list[Payment]] = defaultdict(list)
    for each in payments(history):
        if each.billed and each.job is not None:
            found[each.job].append(each)
    return [
        JobPayments(job, tuple(sorted(many, key=lambda each: each.accepted_at)), marked_attempts(history, job))
        for job, many in found.items()
    ]


def marked_attempts(history: History, job: str) -> int:
    """Return how many attempts of a job are marked as possible duplicates."""
    row = history.rows.get(job)
    return sum(bool(attempt.get("possible_duplicate")) for attempt in row.doc.get("attempts", [])) if row else 0


def by_provider(history: History) -> dict[str, dict[str, float]]:
    """Return for each provider: paid jobs and submissions, marked duplicates, those really paid twice, and unmarked ones.

    A job counts at the provider of its first payment; a marked attempt at the provider of the attempt before it.
    """
    found: dict[str, dict[str, float]] = defaultdict(
        lambda: dict.fromkeys(("jobs", "paid", "marked", "marked_paid_twice", "unmarked"), 0)
    )
    for each in job_payments(history):
        figures = found[each.paid[0].provider]
        figures["jobs"] += 1
        figures["paid"] += len(each.paid)
        figures["marked_paid_twice"] += each.marked_repeats
        figures["unmarked"] += each.unmarked_repeats
    for row in history.rows.values():
        attempts = row.doc.get("attempts", [])
        for before, attempt in pairwise(attempts):
            found[str(before.get("provider"))]["marked"] += bool(attempt.get("possible_duplicate"))
    for figures in found.values():
        figures["paid_per_job"] = round(figures["paid"] / figures["jobs"], 3) if figures["jobs"] else 0.0
    return dict(sorted(found.items()))


def paid_twice(found: Iterable[Payment], attempts: dict[str, int]) -> int:
    """Count attempts with more than one accepted submission, and jobs with more submissions than attempts."""
    per_attempt: dict[tuple[str, int], int] = {}
    per_job: dict[str, int] = {}
    for each in found:
        if each.job is not None:
            per_job[each.job] = per_job.get(each.job, 0) + 1
            if each.attempt is not None:
                key = (each.job, each.attempt)
                per_attempt[key] = per_attempt.get(key, 0) + 1
    doubled = {job for (job, _), count in per_attempt.items() if count > 1}
    twice = sum(count > 1 for count in per_attempt.values())
    return twice + sum(count > attempts.get(job, 0) and job not in doubled for job, count in per_job.items())


def paid_per_job(found: Iterable[Payment]) -> float:
    """Return billed submissions for each job that had one, with three decimals; 1 is perfect."""
    billed = [each for each in found if each.billed]
    jobs = {each.job or each.request_id for each in billed}
    return round(len(billed) / len(jobs), 3) if jobs else 0.0
