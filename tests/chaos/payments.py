"""Which of the twin's accepted requests was made for which attempt of which job."""

import re
from dataclasses import dataclass
from typing import Any

from tests.chaos.history import History
from tests.chaos.load import mark_of

_TAGS = re.compile(r"\bjob=([^,]+),attempt=(\d+)")


@dataclass(frozen=True)
class Payment:
    """An accepted submission. `job` is None when it belongs to nobody we know; `billed` when it was paid for."""

    request_id: str
    job: str | None
    attempt: int | None
    mark: tuple[int, int] | None
    billed: bool


def payments(seen: History) -> list[Payment]:
    """Every submission that the twin accepted for us: by the ticket on a row, else by the tags, else by the mark."""
    tickets = {
        attempt["ticket"]["request_id"]: (job, int(attempt["number"]))
        for job, row in seen.rows.items()
        for attempt in row.doc.get("attempts", [])
        if attempt.get("ticket")
    }
    marks = {(wanted.number, wanted.part): wanted.id for wanted in seen.wanted if wanted.id}
    marks |= {mark: job for job, row in seen.rows.items() if (mark := mark_of(_asked(row.doc)))}
    known = {*seen.rows, *(wanted.id for wanted in seen.wanted if wanted.id)}
    return [_payment(request, tickets, marks, known) for request in seen.requests]


def _asked(doc: dict[str, Any]) -> dict[str, Any]:
    """The request on a row; one that no worker has accepted has it in its message."""
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
    """Attempts with more than one accepted submission, and jobs with more submissions than attempts."""
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
    """Billed submissions for each job that had one, to three decimals; 1 is perfect."""
    billed = [each for each in found if each.billed]
    jobs = {each.job or each.request_id for each in billed}
    return round(len(billed) / len(jobs), 3) if jobs else 0.0
