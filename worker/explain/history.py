"""Writes a row's history: compares the row before and after a step, so that no step has to report itself. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from worker.jobs.cost import Cost
from worker.jobs.job import HELD_BACK, HistoryEntry, Job, Receipt, Stage

FIRST, LAST = 20, 40  # entries that a long history keeps from its start and from its end


def with_history(before: Job, after: Job, at: float, why: str = "", signals: Iterable[str] = ()) -> Job:
    """`after` with what has happened since `before` in its history. `signals`: names of the signals on the row."""
    known = {entry.text for entry in after.history if entry.what == "heard"}
    entries = [HistoryEntry(at, "heard", name) for name in signals if name not in known]
    if after.ending == Stage.COMPLETED and before.stage == Stage.FETCHED:  # stored in the same write
        entries.append(HistoryEntry(at, *_stored(after)))
    if step := _step(before, after, why):
        entries.append(HistoryEntry(at, *step))
    return replace(after, history=_with(after.history, entries)) if entries else after


def with_defect(job: Job, at: float, what: str) -> Job:
    """The job with an unexpected error of the worker in its history."""
    return replace(job, history=_with(job.history, [HistoryEntry(at, "defect", what)]))


def _with(history: tuple[HistoryEntry, ...], entries: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """The history with these entries. A repeated entry is counted; the middle of a long history is dropped."""
    for entry in entries:
        last = history[-1] if history else None
        if last and (last.what, last.text) == (entry.what, entry.text):
            history = (*history[:-1], replace(entry, times=last.times + 1))
        else:
            history = (*history, entry)
    return history if len(history) <= FIRST + LAST else (*history[:FIRST], *history[-LAST:])


def _step(before: Job, after: Job, why: str) -> tuple[str, str] | None:
    attempt = after.attempt
    match after.stage:
        case Stage.SENT:
            return ("message_sent_again", why) if after.tries != before.tries else None
        case Stage.ACCEPTED:
            if before.stage != Stage.ACCEPTED:
                return "again_later", why or _error_text(after)
            return (HELD_BACK, why) if why else None
        case Stage.SUBMITTING:
            if attempt is None or len(before.attempts) == len(after.attempts):
                return None
            risk = ", a possible duplicate" if attempt.possible_duplicate else ""
            return "submitting", f"attempt {attempt.number}: {attempt.provider} {attempt.endpoint}{risk}"
        case Stage.UNKNOWN:
            return "unknown", why or _error_text(after) or "the worker that submitted it has died"
        case Stage.WAITING:
            return _waiting(before, after, why)
        case Stage.FETCHED if before.stage == Stage.FETCHED:
            return "fetch_again", why
        case Stage.FETCHED:
            return "answered", _with_why(cost_text(attempt.cost if attempt else None), why)
        case Stage.STORED:
            what, text = _stored(after)
            return what, _with_why(text, why)
        case Stage.CLOSING:
            return _closing(before, after)
        case Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:  # the ledger writes `closed`
            return None
        case _:
            assert_never(after.stage)


def _with_why(text: str, why: str) -> str:
    return f"{text}; {why}" if why else text


def _waiting(before: Job, after: Job, why: str) -> tuple[str, str] | None:
    attempt = after.attempt
    if before.stage != Stage.WAITING and attempt and attempt.ticket:
        return "ticket", _with_why(attempt.ticket.request_id, why)
    if why:
        return "waiting", why
    ahead = after.observed.queue_position
    return "looked", "running" if after.observed.running else "in the queue" + (f", {ahead} ahead" if ahead else "")


def _stored(after: Job) -> tuple[str, str]:
    files = len(after.artefacts)
    if not after.step.pieces:
        return "judged", "valid"
    return "stored", f"{files} file{'s' if files != 1 else ''}, {sum(a.bytes for a in after.artefacts)} bytes"


def _closing(before: Job, after: Job) -> tuple[str, str] | None:
    if before.stage == Stage.CLOSING:
        return ("closing_message_again", "") if after.tries != before.tries else None
    parts = [after.ending.value if after.ending else ""]
    parts += [f"{after.error.code}: {after.error.message}"] if after.error else []
    parts += [receipt_text(after.receipt, has_files=bool(after.artefacts))] if after.receipt else []
    return "ending", "; ".join(parts)


def _error_text(job: Job) -> str:
    error = job.attempt.error if job.attempt else None
    return f"{error.code}: {error.message}" if error else ""


def receipt_text(receipt: Receipt, has_files: bool = True) -> str:
    """A cancel's receipt in words. `has_files`: whether the job has files, if it was cancelled too late."""
    total = receipt.total_cost or receipt.cost
    paid = f"; {_paid_text(total)}" if total and (receipt.cost or total.certainty != "exact") else ""
    if receipt.in_time:
        return f"stopped in time{paid or '; nothing was billed'}"
    if receipt.in_time is False:
        files = "its files are kept" if has_files else "there are no files"
        return f"cancelled too late{paid or '; it may have been billed'}; {files}"
    return f"cancelled, but the provider never said whether the run stopped{paid or '; it may have been billed'}"


def _paid_text(cost: Cost) -> str:
    if cost.certainty == "estimated" and cost.lower_usd == 0:
        return f"up to {usd_text(cost.upper_usd or 0.0)} may have been billed"
    return cost_text(cost)


def cost_text(cost: Cost | None) -> str:
    """A cost in words, as worth as much as it is: a sum, two bounds, or that it is not known."""
    if cost is None:
        return "the provider did not say what it billed"
    if cost.certainty == "exact":
        return f"billed {usd_text(cost.usd)}" if cost.usd else "nothing was billed"
    return f"billed {bounds_text(cost)}"


def bounds_text(cost: Cost) -> str:
    """What lies between the bounds of a cost that is not exact."""
    if cost.upper_usd is not None:
        return f"between {usd_text(cost.lower_usd).removesuffix(' USD')} and {usd_text(cost.upper_usd)}"
    if cost.usd:
        return f"about {usd_text(cost.usd)}, and no upper bound is known"
    return f"{cost.units:g} units whose price is not known" if cost.units else "an unknown sum"


def usd_text(usd: float) -> str:
    """US dollars with enough digits: a caption costs a few hundred-thousandths of a dollar."""
    return f"{usd:.4f} USD" if usd == 0 or usd >= 0.001 else f"{usd:.6f} USD"
