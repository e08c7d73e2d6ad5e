"""Where a piece comes from, as its result says it: what was asked for, who served it, what was lost. Pure."""

from config.catalogue import Model
from worker.engine.arguments import call_arguments
from worker.jobs.job import Attempt, Job
from worker.jobs.status import Provenance, Tried
from worker.money.cost import route_of
from worker.routing.plan import plan


def provenance_of(model: Model, job: Job) -> Provenance:
    """Of a job whose last attempt brought its piece."""
    attempt = job.attempts[-1]
    found = plan(model, route_of(model, attempt), job.step.arguments, job.step.extra)
    prompt = call_arguments(model, job).get("prompt")
    return Provenance(
        asked_for=str(job.request.get("model") or job.step.model),
        provider=attempt.provider,
        model=attempt.endpoint,
        version=attempt.version,
        equivalence=attempt.equivalence,
        approximated=dict(found.approximated),
        dropped=list(found.dropped),
        prompt=prompt if isinstance(prompt, str) else None,
        missing=[trouble.message for trouble in attempt.missing],
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
