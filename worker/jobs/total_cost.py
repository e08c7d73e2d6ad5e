"""What a job costs: the sum over its attempts, as its status, its result and its receipt show it. Pure."""

from worker.errors import SubmitUnknownError
from worker.jobs.cost import NOTHING_BILLED, UNKNOWN_COST, Cost, sum_of
from worker.jobs.job import Attempt, Job


def total_cost(job: Job) -> Cost:
    """The cost of all attempts. One that has not ended counts with what it may cost."""
    return sum_of(booked_cost(attempt) for attempt in job.attempts)


def booked_cost(attempt: Attempt) -> Cost:
    """The cost of an attempt. Earlier versions booked nothing before the bill: such an attempt may cost anything."""
    if attempt.cost is not None:
        return attempt.cost
    return UNKNOWN_COST if attempt.was_taken or is_lost(attempt) or attempt.ended_at is None else NOTHING_BILLED


def is_lost(attempt: Attempt) -> bool:
    """Whether nobody knows that the provider has taken it."""
    return attempt.ticket is None and attempt.error is not None and attempt.error.code == SubmitUnknownError.code
