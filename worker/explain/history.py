"""What a row's history says of a step: read from the row before and after it, so that no step has to tell. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from worker.jobs.job import Cost, HistoryEntry, Job, Receipt, Stage

FIRST, LAST = 20, 40  # notes kept of a long history


def with_history(before: Job, after: Job, at: float, why: str = "", signals: Iterable[str] = ()) -> Job:
    """The row with what has happened since `before` in its history. `signals` are the names of those it carries."""
    known = {note.text for note in after.history if note.what == "heard"}
    notes = [HistoryEntry(at, "heard", name) for name in signals if name not in known]
    if after.ending == Stage.COMPLETED and before.stage == Stage.FETCHED:  # it was stored on the way
        notes.append(HistoryEntry(at, *_stored(after)))
    if step := _step(before, after, why):
        notes.append(HistoryEntry(at, *step))
    return replace(after, history=_with(after.history, notes)) if notes else after


def _with(history: tuple[HistoryEntry, ...], notes: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """The history and these; the same again is counted, and of a long one the middle is left out."""
    for note in notes:
        last = history[-1] if history else None
        if last and (last.what, last.text) == (note.what, note.text):
            history = (*history[:-1], replace(note, times=last.times + 1))
        else:
            history = (*history, note)
    return history if len(history) <= FIRST + LAST else (*history[:FIRST], *history[-LAST:])


def _step(before: Job, after: Job, why: str) -> tuple[str, str] | None:
    attempt = after.attempt
    match after.stage:
        case Stage.SENT:
            return "message_sent_again", why
        case Stage.ACCEPTED:
            if before.stage != Stage.ACCEPTED:
                return "again_later", why or _said(after)
            return ("held_back", why) if why else None
        case Stage.SUBMITTING:
            if attempt is None or len(before.attempts) == len(after.attempts):
                return None
            risk = ", a possible duplicate" if attempt.possible_duplicate else ""
            return "submitting", f"attempt {attempt.number}: {attempt.provider} {attempt.endpoint}{risk}"
        case Stage.UNKNOWN:
            return "unknown", why or _said(after) or "the worker that sent it is gone"
        case Stage.WAITING:
            return _waiting(before, after, why)
        case Stage.FETCHED if before.stage == Stage.FETCHED:
            return "fetch_again", why
        case Stage.FETCHED:
            return "answered", cost_text(attempt.cost if attempt else None)
        case Stage.STORED:
            return _stored(after)
        case Stage.CLOSING:
            return _closing(before, after)
        case Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:  # the ledger notes that it is closed
            return None
        case _:
            assert_never(after.stage)


def _waiting(before: Job, after: Job, why: str) -> tuple[str, str] | None:
    attempt = after.attempt
    if before.stage != Stage.WAITING and attempt and attempt.ticket:
        return "ticket", f"{attempt.ticket.request_id}{f'; {why}' if why else ''}"
    if why:
        return "waiting", why
    ahead = after.observed.queue_position
    return "looked", "it runs" if after.observed.running else "in the queue" + (f", {ahead} ahead" if ahead else "")


def _stored(after: Job) -> tuple[str, str]:
    files = len(after.artefacts)
    if not after.step.pieces:
        return "judged", "it answers what was asked"
    return "stored", f"{files} file{'s' if files != 1 else ''}, {sum(a.bytes for a in after.artefacts)} bytes"


def _closing(before: Job, after: Job) -> tuple[str, str]:
    if before.stage == Stage.CLOSING:
        return "closing_message_again", ""
    words = [after.ending.value if after.ending else ""]
    words += [f"{after.error.code}: {after.error.message}"] if after.error else []
    words += [receipt_text(after.receipt, has_files=bool(after.artefacts))] if after.receipt else []
    return "ending", "; ".join(words)


def _said(job: Job) -> str:
    trouble = job.attempt.error if job.attempt else None
    return f"{trouble.code}: {trouble.message}" if trouble else ""


def receipt_text(receipt: Receipt, has_files: bool = True) -> str:
    """A cancel's receipt in words. `has_files`: whether a job that was cancelled too late brought any."""
    paid = f"; {cost_text(receipt.cost)}" if receipt.cost else ""
    if receipt.in_time:
        return f"stopped in time{paid or '; nothing was billed'}"
    if receipt.in_time is False:
        files = "its files are kept" if has_files else "it brought no files"
        return f"cancelled too late{paid or '; it may have been billed'}; {files}"
    return f"cancelled, but the provider never said whether it stopped{paid or '; it may have been billed'}"


def cost_text(cost: Cost | None) -> str:
    """A cost in words."""
    if cost is None:
        return "the provider did not say what it billed"
    if cost.units == 0:
        return "nothing was billed"
    if cost.usd is None:
        return f"billed {cost.units:g} units of unknown price" if cost.units is not None else "billed, price unknown"
    return f"billed {'about ' if cost.estimated else ''}{usd_text(cost.usd)}"


def usd_text(usd: float) -> str:
    """Dollars in words; a caption costs a few hundred-thousandths."""
    return f"{usd:.4f} USD" if usd == 0 or usd >= 0.001 else f"{usd:.6f} USD"
