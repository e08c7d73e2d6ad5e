"""A row as text for a person: its history, every attempt, its cost and its ending. Pure.

`worker.explain.next_step` says what happens next.
"""

import time
from collections.abc import Iterator, Mapping

from config.catalogue import is_pipeline
from worker.explain.history import FIRST, LAST, bounds_text, cost_text, receipt_text
from worker.jobs.job import Attempt, HistoryEntry, Job
from worker.jobs.status import state_of
from worker.jobs.total_cost import booked_cost, total_cost


def story(job: Job) -> list[str]:
    """The lines: the job and its start, what happened and when, the attempts, the cost, the receipt."""
    start = began_at(job)
    return [*_head(job, start), *_events(job, start), *_attempts(job), f"money: {money(job)}", *_receipt(job)]


def began_at(job: Job) -> float:
    """When it was sent, or accepted if it has no record of that. Seconds since the epoch."""
    return job.history[0].at if job.history else job.sent_at or job.created_at


def money(job: Job) -> str:
    """What all attempts cost together, and for which of them that is not known."""
    if not job.attempts:
        return "nothing was submitted, so nothing was billed"
    unsure = (f"attempt {one.number} {why}" for one in job.attempts if (why := _unsure(one)))
    return "; ".join([cost_text(total_cost(job)), *unsure])


def _head(job: Job, start: float) -> Iterator[str]:
    model = f" with {job.step.model}" if job.step.model and not is_pipeline(job.step.model) else ""
    yield f"job {job.id}: {job.task}{model}, {state_of(job)} ({job.stage})"
    yield f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(start))} UTC"


def _events(job: Job, start: float) -> Iterator[str]:
    if not job.history:
        yield "  no history: an older version accepted it"
    for place, entry in enumerate(job.history):
        if place == FIRST and len(job.history) == FIRST + LAST:
            yield f"  {'…':>9}  (the middle of a long history is left out)"
        repeated = f" ({entry.times} times until then)" if entry.times > 1 else ""
        yield f"  {f'+{entry.at - start:.1f} s':>9}  {_entry_text(entry)}{repeated}"


def _entry_text(entry: HistoryEntry) -> str:
    if entry.what == "heard":
        name, _, attempt = entry.text.partition(":")
        return _SIGNALS[name].format(attempt) if name in _SIGNALS else f"signal {entry.text}"
    words = _WORDS.get(entry.what, entry.what.replace("_", " "))
    if "{}" in words:
        return words.format(entry.text)
    return f"{words}: {entry.text}" if entry.text else words


def _attempts(job: Job) -> Iterator[str]:
    for attempt in job.attempts:
        parts = [f"attempt {attempt.number}: {attempt.provider} {attempt.endpoint}", *_course(attempt)]
        if attempt.possible_duplicate:
            parts.append("a possible duplicate: the provider may have taken the attempt before it")
        yield "; ".join(parts)


def _course(attempt: Attempt) -> Iterator[str]:
    """Whether it was taken, how long it took, how it ended, what it cost."""
    since = attempt.submitted_at or attempt.started_at
    if attempt.ticket:
        yield f"request {attempt.ticket.request_id}"
        yield f"taken after {since - attempt.started_at:.1f} s"
    if attempt.ended_at is None:
        yield "not found yet" if attempt.error else "running"
    elif attempt.ticket:
        model = f" (the model: {attempt.inference_s:.1f} s)" if attempt.inference_s is not None else ""
        yield f"ended {attempt.ended_at - since:.1f} s later{model}"
    elif attempt.answered:
        yield f"answered after {attempt.ended_at - since:.1f} s"
    else:
        yield f"given up after {attempt.ended_at - since:.1f} s"
    if attempt.error:
        yield f"{attempt.error.code}: {attempt.error.message}"
    if attempt.cost and attempt.ended_at is not None:
        yield f"may have been taken and {cost_text(attempt.cost)}" if not attempt.was_taken else cost_text(attempt.cost)


def _unsure(attempt: Attempt) -> str:
    """Why the cost of this attempt is not exact; empty if it is."""
    cost = booked_cost(attempt)
    if cost.certainty == "exact":
        return ""
    if attempt.ended_at is None:
        return f"has not ended: it may cost {bounds_text(cost)}"
    if not attempt.was_taken:
        return f"may have been taken and billed {bounds_text(cost)}"
    return f"ended without a whole bill: {bounds_text(cost)}"


def _receipt(job: Job) -> Iterator[str]:
    if job.receipt and job.ending is not None:
        yield f"receipt: {receipt_text(job.receipt, has_files=bool(job.artefacts))}"


_WORDS: Mapping[str, str] = {
    "sent": "sent {}",
    "message_sent_again": "no worker accepted it: its message was sent again",
    "accepted": "accepted by a worker: the request is valid",
    "submitting": "begins to submit {}",
    "ticket": "taken by the provider as request {}",
    "unknown": "unknown whether the provider has taken it",
    "again_later": "will be tried again",
    "held_back": "held back",
    "defect": "an unexpected error in the worker: {}",
    "waiting": "waiting",
    "looked": "polled: {}",
    "answered": "the provider's answer is saved: {}",
    "fetch_again": "its files could not be fetched",
    "stored": "stored {}",
    "judged": "the answer was checked: {}",
    "ending": "the ending is decided: {}",
    "closing_message_again": "the ending was not confirmed: it was sent again",
    "closed": "the ending has reached Celery",
}
_SIGNALS: Mapping[str, str] = {
    "cancel": "a cancel arrived",
    "step": "step {} is sent",
    "step_ended": "step {} has ended",
    "webhook": "the provider's webhook for attempt {} arrived",
    "ticket": "the ticket of attempt {} arrived late, from the worker that had submitted it",
    "outcome": "the outcome of attempt {} arrived late, from the worker that had submitted it",
}
