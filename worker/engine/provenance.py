"""Where a piece comes from, as its result says it: what was asked for, who served it, what was lost. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.jobs.job import Attempt, Job
from worker.jobs.status import Provenance, Tried
from worker.routing.served import Served


def provenance_of(served: Served, job: Job, sent: Mapping[str, Any]) -> Provenance:
    """Of a job whose last attempt brought its piece. `sent` are the arguments of that attempt."""
    attempt, plan, prompt = job.attempts[-1], served.plan, sent.get("prompt")
    return Provenance(
        asked_for=str(job.request.get("model") or job.step.model),
        provider=attempt.provider,
        model=attempt.endpoint,
        version=attempt.version,
        equivalence=attempt.equivalence,
        approximated=dict(plan.approximated),
        dropped=list(plan.dropped),
        prompt=prompt if isinstance(prompt, str) else None,
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
