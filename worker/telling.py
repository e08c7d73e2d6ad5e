"""What of a row's change the outside hears: its log lines, and whether a status is worth publishing."""

import structlog

from worker.job import Job, Stage
from worker.status import state_of

log = structlog.get_logger(__name__)

TELL_S = 1.0  # progress is told at most so often


def note(before: Job, job: Job) -> None:
    """The log lines of a job's life: one for each submission, one for its end."""
    attempt = job.attempt
    bound = log.bind(job=job.id, task=job.task, model=job.step.model, attempt=len(job.attempts))
    if job.stage == Stage.WAITING != before.stage and attempt and attempt.ticket:
        bound.info("job_submitted", endpoint=attempt.endpoint, request_id=attempt.ticket.request_id)
    elif job.stage == Stage.CLOSING != before.stage and job.ending:
        code = job.trouble.code if job.trouble else None
        bound.info(
            "job_ended", ending=job.ending.value, error=code, total_s=round((job.closed_at or 0) - job.created_at, 3)
        )


def is_worth_telling(before: Job, job: Job, now: float) -> bool:
    """Every milestone and every new attempt; progress and logs at most once a second."""
    if job.ending is not None or job.stage in {Stage.SENT, Stage.SUBMITTING}:  # an intent is followed by its POST
        return False
    if job.told_at is None or is_milestone(before, job) or len(job.attempts) != len(before.attempts):
        return True
    return job.sight != before.sight and now - job.told_at >= TELL_S


def is_milestone(before: Job, job: Job) -> bool:
    """A new state, or another quarter done."""
    quarters = [int(4 * (row.sight.progress or 0.0)) for row in (before, job)]
    return job.told_at is None or state_of(job) != state_of(before) or quarters[1] > quarters[0]
