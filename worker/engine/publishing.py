"""Which changes of a row are logged, and which are published as a status."""

from dataclasses import replace

import structlog

from worker.jobs.job import Job, Observation, Stage
from worker.jobs.status import state_of

log = structlog.get_logger(__name__)

PUBLISH_S = 1.0  # the least time between two statuses with news from the provider
PUBLISH_ESTIMATE_S = 5.0  # and between two that differ in the estimated progress alone


def log_changes(before: Job, job: Job) -> None:
    """The log lines of a job's life: one for each submission, one for its end."""
    if job.stage == before.stage:
        return
    attempt = job.attempt
    names = {"job": job.id, "task": job.task, "model": job.step.model, "attempt": len(job.attempts)}
    if job.stage == Stage.WAITING and attempt and attempt.ticket:
        log.info("job_submitted", **names, endpoint=attempt.endpoint, request_id=attempt.ticket.request_id)
    elif job.stage == Stage.CLOSING and job.ending:
        code = job.error.code if job.error else None
        total_s = round((job.closed_at or 0) - job.created_at, 3)
        log.info("job_ended", **names, ending=job.ending.value, error=code, total_s=total_s)


def should_publish(before: Job, job: Job, now: float) -> bool:
    """Every milestone and every new attempt; news from the provider once a second; an estimate every five."""
    if job.ending is not None or job.stage in {Stage.SENT, Stage.SUBMITTING}:  # the POST follows an intent at once
        return False
    if _passes(before, job):
        return False
    if job.published_at is None or is_milestone(before, job) or len(job.attempts) != len(before.attempts):
        return True
    if job.observed == before.observed:
        return False
    is_estimate = _without_estimates(job.observed) == _without_estimates(before.observed)
    return now - job.published_at >= (PUBLISH_ESTIMATE_S if is_estimate else PUBLISH_S)


def is_milestone(before: Job, job: Job) -> bool:
    """A new state, or another quarter done."""
    quarters = [int(4 * (row.observed.progress or 0.0)) for row in (before, job)]
    return job.published_at is None or state_of(job) != state_of(before) or quarters[1] > quarters[0]


def _passes(before: Job, job: Job) -> bool:
    """Whether a row of pictures only passes a stage on its way to its end: its files are stored in a moment."""
    on_its_way = job.stage in {Stage.FETCHED, Stage.STORED} and job.stage != before.stage
    is_known = job.published_at is not None and state_of(job) == state_of(before)
    return on_its_way and is_known and job.is_brief


def _without_estimates(observed: Observation) -> Observation:
    """An observation without what comes from our clock."""
    progress = None if observed.progress_estimated else observed.progress
    return replace(observed, queued_at=None, progress=progress)
