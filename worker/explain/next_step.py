"""What happens next to a row, and when: from the row and what the ledger keeps with it. Pure.

`worker.explain.story` says what has happened.
"""

from dataclasses import dataclass
from typing import assert_never

from worker.jobs.job import Job, Stage
from worker.jobs.status import state_of
from worker.ledger.base import Row

NEW_PAUSE_S = 10.0  # a new row pauses for at most so long, unless it is beyond its tenant's share
OVERDUE_S = 5.0  # if a row is due for longer, its queue has no worker or too few


@dataclass(frozen=True)
class NextStep:
    """A sentence, and its time by the ledger's clock (seconds since the epoch)."""

    text: str
    at: float | None = None


def next_step(row: Row, now: float) -> NextStep:
    """What happens next by the row as it is now: a signal may come sooner."""
    if row.job.is_final:
        return _over(row, now)
    if row.held_until is not None and row.held_until > now:
        held = f"a worker {_doing(row.job)}; if it dies, another worker continues in {span(row.held_until - now)}"
        return NextStep(held + _extras(row), row.held_until)
    if row.due_at is None or row.due_at <= now:
        return NextStep(_due(row, now) + _extras(row), row.due_at)
    if _is_beyond_share(row, now):
        return NextStep(f"it is submitted when a worker has room for more jobs of its tenant{_extras(row)}", row.due_at)
    return NextStep(f"in {span(row.due_at - now)}: {_then(row.job)}{_extras(row)}", row.due_at)


def _is_beyond_share(row: Row, now: float) -> bool:
    """Whether its tenant has sent more than its share: no other row waits so long before its first attempt."""
    job, due_in_s = row.job, (row.due_at or now) - now
    is_new = job.stage == Stage.ACCEPTED and not job.attempts and job.held_back_at is None
    return is_new and job.options.tenant is not None and due_in_s > NEW_PAUSE_S


def span(seconds: float) -> str:
    """Seconds as text: `2.1 s`, `3.5 min`, `5.0 h`, `6.9 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _over(row: Row, now: float) -> NextStep:
    ended = f"nothing: it ended as {state_of(row.job)}"
    if row.forgotten_at is None:
        return NextStep(f"{ended}, and its row is kept for KILNHAND_RESULT_DAYS")
    return NextStep(f"{ended}, and its row is deleted in {span(max(0.0, row.forgotten_at - now))}", row.forgotten_at)


def _due(row: Row, now: float) -> str:
    overdue_s = now - (row.due_at or now)
    text = f"it is due, and the next free worker takes it: {_then(row.job)}"
    if overdue_s < OVERDUE_S:
        return text
    return f"{text}. It has been due for {span(overdue_s)}: does a worker consume the queue {row.job.queue}?"


def _extras(row: Row) -> str:
    """What else is on the row: a cancel that no worker has seen, claims that ended without a write."""
    parts = ["a cancel is on the row"] if "cancel" in row.signals and row.job.receipt is None else []
    strikes = row.claims_since_write - (1 if row.held_until else 0)
    if strikes > 0:
        parts.append(f"{strikes} claim{'s' if strikes > 1 else ''} in a row ended without a write")
    return f" ({'; '.join(parts)})" if parts else ""


def _then(job: Job) -> str:
    """What a worker does when the row is due."""
    provider, number = _provider(job), len(job.attempts)
    match job.stage:
        case Stage.SENT:
            return "its message is sent again, unless a worker accepts it first"
        case Stage.ACCEPTED:
            return f"attempt {number + 1} is made" if job.attempts else "it is submitted"
        case Stage.SUBMITTING:
            return f"the worker that submitted it counts as dead, and attempt {number} is searched for at {provider}"
        case Stage.UNKNOWN:
            return f"attempt {number} is searched for again at {provider}"
        case Stage.WAITING:
            if job.receipt and not job.receipt.told:
                return f"{provider} is asked again to stop it"
            if job.receipt and job.receipt.in_time is None:
                return "it is polled, to see whether it has stopped"
            return "it is polled"
        case Stage.FETCHED:
            return "its files are fetched"
        case Stage.STORED:
            return "its ending is decided"
        case Stage.CLOSING:
            if job.ending == Stage.CANCELLED:
                return "its ending is published again, unless it has arrived"
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
            return "fetches its input files, if it has some, and submits it"
        case Stage.SUBMITTING:
            return f"submits attempt {number} to {provider}"
        case Stage.UNKNOWN:
            return f"searches for attempt {number} at {provider}"
        case Stage.WAITING:
            return "polls it"
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
