"""A row told to a person: how it came, every attempt, what was heard, what it cost, how it ended. Pure.

What happens next is the idea of `worker.explain.next_step`.
"""

import time
from collections.abc import Iterator, Mapping

from worker.errors import SubmitUnknownError
from worker.explain.history import FIRST, LAST, cost_text, receipt_text, usd_text
from worker.jobs.job import Attempt, Cost, HistoryEntry, Job
from worker.jobs.status import state_of


def story(job: Job) -> list[str]:
    """The lines: what it is and since when, what happened and when, the attempts, the money, the receipt."""
    start = began_at(job)
    return [*_head(job, start), *_events(job, start), *_attempts(job), f"money: {money(job)}", *_receipt(job)]


def began_at(job: Job) -> float:
    """When it was sent, or accepted if nobody wrote down its sending. Seconds since the epoch."""
    return job.history[0].at if job.history else job.sent_at or job.created_at


def money(job: Job) -> str:
    """What all attempts cost, as far as anybody knows."""
    if not job.attempts:
        return "nothing was submitted, so nothing was billed"
    costs = [attempt.cost for attempt in job.attempts if attempt.cost and attempt.was_taken]
    known = [cost.usd for cost in costs if cost.usd is not None]
    about = "about " if any(cost.estimated for cost in costs) else ""
    text = f"billed {about}{usd_text(sum(known))}" if known else "no bill has come"
    return "; ".join([text, *(f"attempt {one.number} {why}" for one in job.attempts if (why := _unsure(job, one)))])


def _head(job: Job, start: float) -> Iterator[str]:
    model = f" with {job.step.model}" if job.step.model else ""
    yield f"job {job.id}: {job.task}{model}, {state_of(job)} ({job.stage})"
    yield f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(start))} UTC"


def _events(job: Job, start: float) -> Iterator[str]:
    if not job.history:
        yield "  nothing is written down of it: an older version accepted it"
    for place, note in enumerate(job.history):
        if place == FIRST and len(job.history) == FIRST + LAST:
            yield f"  {'…':>9}  (of a long history the middle is left out)"
        again = f" ({note.times} times up to then)" if note.times > 1 else ""
        yield f"  {f'+{note.at - start:.1f} s':>9}  {_said(note)}{again}"


def _said(note: HistoryEntry) -> str:
    if note.what == "heard":
        name, _, attempt = note.text.partition(":")
        return _HEARD[name].format(attempt) if name in _HEARD else f"heard {note.text}"
    words = _WORDS.get(note.what, note.what.replace("_", " "))
    if "{}" in words:
        return words.format(note.text)
    return f"{words}: {note.text}" if note.text else words


def _attempts(job: Job) -> Iterator[str]:
    for attempt in job.attempts:
        parts = [f"attempt {attempt.number}: {attempt.provider} {attempt.endpoint}", *_course(attempt)]
        if attempt.possible_duplicate:
            parts.append("a possible duplicate of the one before, which may have been taken unseen")
        yield "; ".join(parts)


def _course(attempt: Attempt) -> Iterator[str]:
    """How it went: taken or not, how long, how it ended, what it cost."""
    since = attempt.submitted_at or attempt.started_at
    if attempt.ticket:
        yield f"request {attempt.ticket.request_id}"
        yield f"taken after {since - attempt.started_at:.1f} s"
    if attempt.ended_at is None:
        yield "nobody knows of it yet" if attempt.error else "under way"
    elif attempt.ticket:
        model = f" ({attempt.inference_s:.1f} s of it the model)" if attempt.inference_s is not None else ""
        yield f"over {attempt.ended_at - since:.1f} s later{model}"
    elif attempt.answered:
        yield f"answered after {attempt.ended_at - since:.1f} s"
    else:
        yield f"given up after {attempt.ended_at - since:.1f} s"
    if attempt.error:
        yield f"{attempt.error.code}: {attempt.error.message}"
    if attempt.cost:
        yield cost_text(attempt.cost) if attempt.was_taken else _possibly(attempt.cost)


def _unsure(job: Job, attempt: Attempt) -> str:
    """Why what this attempt cost is not known; empty when it is."""
    if attempt.cost is not None and not attempt.was_taken:
        return _possibly(attempt.cost)
    if attempt.cost is not None:
        return "has units of unknown price" if attempt.cost.usd is None else ""
    if attempt.ticket is None:
        lost = attempt.error is not None and attempt.error.code == SubmitUnknownError.code
        return "may have been taken and billed" if lost else ""
    if attempt.ended_at is None:
        return "is not over"
    stopped = attempt is job.attempt and job.receipt is not None and job.receipt.in_time
    return "" if stopped or attempt.error else "ended without a word of its price"


def _possibly(cost: Cost) -> str:
    """The cost of a call that was lost: it is on the bill as the most that it may be."""
    return f"may have been taken and {cost_text(cost)}"


def _receipt(job: Job) -> Iterator[str]:
    if job.receipt and job.ending is not None:
        yield f"receipt: {receipt_text(job.receipt, has_files=bool(job.artefacts))}"


_WORDS: Mapping[str, str] = {
    "sent": "sent {}",
    "message_sent_again": "no worker had accepted it: its message was sent again",
    "accepted": "accepted by a worker: valid, and a row",
    "submitting": "the intent to submit {}",
    "ticket": "taken by the provider as request {}",
    "unknown": "nobody can tell whether it was taken",
    "again_later": "back to be tried again",
    "held_back": "held back",
    "waiting": "waits",
    "looked": "looked at: {}",
    "answered": "the provider's answer is saved: {}",
    "fetch_again": "its files could not be had",
    "stored": "stored {}",
    "judged": "judged: {}",
    "ending": "the ending is decided: {}",
    "closing_message_again": "nobody had confirmed the ending: it was told again",
    "closed": "the ending has reached Celery",
}
_HEARD: Mapping[str, str] = {
    "cancel": "a cancel was heard",
    "webhook": "the provider's webhook of attempt {} was heard",
    "ticket": "the ticket of attempt {} came late, from the worker that had sent it",
}
