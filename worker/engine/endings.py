"""How a job is sent to its end: the error that it ends with, or the provenance of its piece. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.engine.context import Transition
from worker.engine.rewritten_prompt import REWRITTEN
from worker.errors import ExternalServiceError, KilnhandError, error_class
from worker.jobs.cost import NOTHING_BILLED, Cost
from worker.jobs.job import Attempt, ErrorRecord, Job, Receipt, Stage
from worker.jobs.status import Provenance, Tried
from worker.jobs.total_cost import total_cost
from worker.routing.retry import RESEND_S
from worker.routing.routes import name_of
from worker.routing.served import Served


def close(job: Job) -> Transition:
    """The write of a closing job. It comes due again only if its closing message was lost."""
    return Transition(job, RESEND_S)


def fail(job: Job, error: KilnhandError, now: float) -> Job:
    """The job on its way to its end as a failure."""
    record = error_record(error)
    if job.attempts and job.attempts[-1].ended_at is None:
        job = job.with_attempt(ended_at=now, error=record)
    return job.move(Stage.CLOSING, ending=Stage.FAILED, error=record, answer=None, closed_at=now, tries=0)


def cancel(job: Job, receipt: Receipt, now: float) -> Job:
    """The job on its way to its end as a cancelled one. What it has is kept."""
    if job.attempts and job.attempts[-1].ended_at is None:
        job = job.with_attempt(ended_at=now)
    total = total_cost(job)
    cost = receipt.cost or (_last_cost(job) if total != NOTHING_BILLED else None)
    receipt = replace(receipt, cost=cost, total_cost=total)
    return job.move(Stage.CLOSING, ending=Stage.CANCELLED, receipt=receipt, answer=None, closed_at=now, tries=0)


def error_record(error: KilnhandError) -> ErrorRecord:
    """The error as a row keeps it."""
    if isinstance(error, ExternalServiceError):
        return ErrorRecord(error.code, error.message, error.provider, error.status, error.kind)
    return ErrorRecord(error.code, error.message)


def final_error(job: Job, error: KilnhandError, refused: Sequence[str] = ()) -> KilnhandError:
    """The error that a job ends with: the last one of its first route, or `error` before any attempt.

    Its message also says why no other route served the job: their errors, and `refused`.
    """
    last = {name_of(attempt): attempt for attempt in job.attempts if attempt.error}
    first, *others = [attempt.error for attempt in last.values() if attempt.error] or [error_record(error)]
    notes = [f"{name.split()[0]} failed too: {each.message}" for name, each in zip([*last][1:], others, strict=True)]
    message, cls = "; ".join([first.message, *notes, *refused]), error_class(first.code)
    if issubclass(cls, ExternalServiceError):
        return cls(message, provider=first.provider, status=first.status, kind=first.kind)
    return cls(message)


def _last_cost(job: Job) -> Cost | None:
    costs = [attempt.cost for attempt in job.attempts if attempt.cost]
    return costs[-1] if costs else None


def provenance_of(served: Served, job: Job, sent: Mapping[str, Any]) -> Provenance:
    """Of a job whose last attempt brought its piece. `sent` are the arguments of that attempt."""
    attempt, plan, prompt = job.attempts[-1], served.plan, sent.get("prompt")
    rewritten = (job.answer or {}).get(REWRITTEN) if job.step.pieces else None
    return Provenance(
        asked_for=str(job.request.get("model") or job.step.model),
        provider=attempt.provider,
        model=attempt.endpoint,
        version=attempt.version,
        equivalence=attempt.equivalence,
        approximated=dict(plan.approximated),
        dropped=list(plan.dropped),
        prompt=prompt if isinstance(prompt, str) else None,
        rewritten_prompt=rewritten if isinstance(rewritten, str) else None,
        missing=[error.message for error in attempt.missing],
        tried=[_tried(each) for each in job.attempts],
    )


def _tried(attempt: Attempt) -> Tried:
    ended_at = attempt.ended_at
    return Tried(
        provider=attempt.provider,
        model=attempt.endpoint,
        error=attempt.error.code if attempt.error else None,
        seconds=None if ended_at is None else round(max(0.0, ended_at - attempt.started_at), 3),
        cost=attempt.cost,
    )
