"""What happens next with a row, and when: read from the row and what the ledger keeps beside it. Pure.

What has happened is the idea of `worker.explain.story`.
"""

from dataclasses import dataclass
from typing import assert_never

from worker.jobs.job import Job, Stage
from worker.jobs.status import state_of
from worker.ledger.base import Row

OVERDUE_S = 5.0  # a row that is due for longer has no worker, or too few


@dataclass(frozen=True)
class NextStep:
    """A sentence, and the ledger's time that it speaks of (seconds since the epoch)."""

    text: str
    at: float | None = None


def next_step(row: Row, now: float) -> NextStep:
    """What happens next, by the row alone: a worker may be faster, a signal sooner."""
    if row.job.is_final:
        return _over(row, now)
    if row.held_until is not None and row.held_until > now:
        held = f"a worker {_doing(row.job)}; should it die, another goes on in {span(row.held_until - now)}"
        return NextStep(held + _beside(row), row.held_until)
    if row.due_at is None or row.due_at <= now:
        return NextStep(_due(row, now) + _beside(row), row.due_at)
    return NextStep(f"in {span(row.due_at - now)}: {_then(row.job)}{_beside(row)}", row.due_at)


def span(seconds: float) -> str:
    """Seconds as a person reads them: `2.1 s`, `3.5 min`, `5.0 h`, `6.9 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _over(row: Row, now: float) -> NextStep:
    ended = f"nothing: it ended as {state_of(row.job)}"
    if row.forgotten_at is None:
        return NextStep(f"{ended}, and its row is kept for KILNHAND_RESULT_DAYS")
    return NextStep(f"{ended}, and its row is forgotten in {span(max(0.0, row.forgotten_at - now))}", row.forgotten_at)


def _due(row: Row, now: float) -> str:
    overdue_s = now - (row.due_at or now)
    text = f"it is due, and the next worker that is free takes it: {_then(row.job)}"
    if overdue_s < OVERDUE_S:
        return text
    return f"{text}. It has waited for one for {span(overdue_s)}: does a worker take from the queue {row.job.queue}?"


def _beside(row: Row) -> str:
    """What else lies on the row: a cancel that nobody has seen, claims that came to nothing."""
    parts = ["a cancel waits on it"] if "cancel" in row.signals and row.job.receipt is None else []
    strikes = row.claims_since_write - (1 if row.held_until else 0)
    if strikes > 0:
        parts.append(f"{strikes} claim{'s' if strikes > 1 else ''} in a row ended without a write")
    return f" ({'; '.join(parts)})" if parts else ""


def _then(job: Job) -> str:
    """What is done when the row is due."""
    provider, number = _provider(job), len(job.attempts)
    match job.stage:
        case Stage.SENT:
            return "its message is sent again, unless a worker accepts it before"
        case Stage.ACCEPTED:
            return f"attempt {number + 1} is made" if job.attempts else "it is submitted"
        case Stage.SUBMITTING:
            return f"its sender is taken to be gone, and attempt {number} is looked for at {provider}"
        case Stage.UNKNOWN:
            return f"{provider} is asked again whether it has taken attempt {number}"
        case Stage.WAITING:
            if job.receipt and not job.receipt.told:
                return f"{provider} is asked again to stop it"
            if job.receipt and job.receipt.in_time is None:
                return "it is looked at, to see whether it has stopped"
            return "it is looked at"
        case Stage.FETCHED:
            return "its files are fetched"
        case Stage.STORED:
            return "its ending is decided"
        case Stage.CLOSING:
            if job.ending == Stage.CANCELLED:
                return "its ending is told again, unless it has arrived"
            return "its closing message is sent again, unless it has arrived"
        case Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            return "nothing"
        case _:
            assert_never(job.stage)


def _doing(job: Job) -> str:
    """What the worker that holds the row is doing."""
    provider, number = _provider(job), len(job.attempts)
    match job.stage:
        case Stage.SENT:
            return "sends its message again"
        case Stage.ACCEPTED:
            return "is about to submit it"
        case Stage.SUBMITTING:
            return f"submits attempt {number} to {provider}"
        case Stage.UNKNOWN:
            return f"looks for attempt {number} at {provider}"
        case Stage.WAITING:
            return "looks at it"
        case Stage.FETCHED:
            return "fetches its files"
        case Stage.STORED:
            return "decides its ending"
        case Stage.CLOSING:
            return "sends its closing message"
        case Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            return "does nothing"
        case _:
            assert_never(job.stage)


def _provider(job: Job) -> str:
    return job.attempt.provider if job.attempt else "the provider"
