"""The ledger's side of an audit: every attempt with its booked cost, and the bounds of its bill. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.catalogue import is_pipeline
from worker.jobs.cost import Cost
from worker.jobs.job import Job
from worker.jobs.total_cost import is_lost


@dataclass(frozen=True)
class Booked:
    """One attempt as its row has it. The bill must lie between the bounds; `upper` is None if it has no limit.

    `at` is when it ended, or when it was last heard of (seconds since the epoch). `is_open`: its row is not final yet,
    so its cost may still come. `is_booked`: the row has a cost, if only as an estimate.
    """

    job_id: str
    number: int
    task: str
    model: str
    tenant: str | None
    provider: str
    endpoint: str
    request_id: str | None
    started_at: float
    at: float
    is_open: bool
    is_lost: bool
    is_booked: bool
    usd: float | None
    lower: float
    upper: float | None


def booked_attempts(job: Job) -> Iterator[Booked]:
    """Every attempt of a job; none of a pipeline, whose steps are jobs with costs of their own."""
    if is_pipeline(job.step.model):
        return
    for attempt in job.attempts:
        is_last = attempt is job.attempts[-1]
        is_open = is_last and job.ending is None
        cost = attempt.cost or (job.receipt.cost if is_last and job.receipt else None)
        usd, lower, upper = _bounds(cost, is_open)
        yield Booked(
            job_id=job.id,
            number=attempt.number,
            task=job.task,
            model=job.step.model,
            tenant=job.options.tenant,
            provider=attempt.provider,
            endpoint=attempt.endpoint,
            request_id=attempt.ticket.request_id if attempt.ticket else None,
            started_at=attempt.started_at,
            at=attempt.ended_at or job.closed_at or attempt.submitted_at or attempt.started_at,
            is_open=is_open,
            is_lost=is_lost(attempt),
            is_booked=cost is not None,
            usd=usd,
            lower=lower,
            upper=upper,
        )


def _bounds(cost: Cost | None, is_open: bool) -> tuple[float | None, float, float | None]:
    """The booked sum and its bounds. No cost in a row that has ended is a claim, too: that nothing was billed."""
    if cost is None:
        return None, 0.0, None if is_open else 0.0
    return cost.usd, cost.lower_usd, cost.upper_usd
