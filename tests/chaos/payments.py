"""Matches the requests that the twin accepted with attempts of jobs."""

import re
from dataclasses import dataclass
from typing import Any

from tests.chaos.history import History
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


def payments(history: History) -> list[Payment]:
    """Return all submissions that the twin accepted, matched by tags, else by the ticket on a row, else by the mark."""
    tickets = {
        attempt["ticket"]["request_id"]: (job, int(attempt["number"]))
        for job, row in history.rows.items()
        for attempt in row.doc.get("attempts", [])
        if attempt.get("ticket")
    }
    marks = {(expected.number, expected.part): expected.id for expected in history.expected_jobs if expected.id}
    marks |= {mark: job for job, row in history.rows.items() if (mark := mark_of(_request_of(row.doc)))}
    known = {*history.rows, *(expected.id for expected in history.expected_jobs if expected.id)}
    return [_payment(request, tickets, marks, known) for request in history.requests]


def _request_of(doc: dict[str, Any]) -> dict[str, Any]:
    """Return the request on a row; before a worker has accepted the row it is in the message."""
    return doc.get("request") or (doc.get("message") or {}).get("kwargs") or {}


def _payment(
    request: dict[str, Any], tickets: dict[str, tuple[str, int]], marks: dict[tuple[int, int], str], known: set[str]
) -> Payment:
    mark = mark_of(request.get("input") or {})
    tags = _TAGS.search(str((request.get("headers") or {}).get("x-fal-tags", "")))
    job: str | None
    attempt: int | None
    job, attempt = (tags[1], int(tags[2])) if tags else tickets.get(request["request_id"], (None, None))
    if job not in known:
        job, attempt = (marks.get(mark) if mark else None), None
    billed = bool((request.get("billed") or {}).get("units"))
    return Payment(request["request_id"], job, attempt, mark, billed)


def paid_twice(found: list[Payment], attempts: dict[str, int]) -> int:
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


def paid_per_job(found: list[Payment]) -> float:
    """Return billed submissions for each job that had one, with three decimals; 1 is perfect."""
    billed = [each for each in found if each.billed]
    jobs = {each.job or each.request_id for each in billed}
    return round(len(billed) / len(jobs), 3) if jobs else 0.0
