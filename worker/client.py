"""A backend's way to its jobs, beside Celery's own: cancel one and learn what became of that, see how far one is.

    from worker.client import cancel, status

It asks the ledger, so it knows a job from the moment that `delay()` has returned. All of it blocks, and may be called
from any thread.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.edge.sending import producer
from worker.jobs.job import Job
from worker.jobs.status import JobStatus, status_of

POLL_S = 0.1  # from one look at a job that is ending to the next


def cancel(job_id: str, wait_s: float = 0) -> JobStatus | None:
    """Ask for a job's end, and wait up to `wait_s` for it. None when there is no such job.

    Whatever the job waits for, its provider is asked to stop. Once it has ended, `state` is REVOKED and `receipt` says
    whether that came in time and what was billed all the same; while it has not, a worker will end it. A job whose
    ending was decided before keeps it: its `state` says which. Cancelling twice changes nothing. Raises
    `OperationalError` while Redis is away.
    """
    with _as_operational_error():
        job = producer().signal(job_id, "cancel")
        deadline = time.monotonic() + wait_s
        while job is not None and not job.is_final and time.monotonic() < deadline:
            time.sleep(POLL_S)
            job = _job(job_id)
        return _status(job)


def status(job_id: str) -> JobStatus | None:
    """How far a job is, by its row; None when there is none. Raises `OperationalError` while Redis is away."""
    with _as_operational_error():
        return _status(_job(job_id))


def result(job_id: str) -> dict[str, Any] | None:
    """What a job has brought, as `AsyncResult.get()` returns it; one that was cancelled too late has a result, too.

    None when there is no such job, or it brought nothing. Raises `OperationalError` while Redis is away.
    """
    with _as_operational_error():
        job = _job(job_id)
        return dict(job.result) if job is not None and job.result is not None else None


def _job(job_id: str) -> Job | None:
    row = producer().row(job_id)
    return row.job if row else None


def _status(job: Job | None) -> JobStatus | None:
    return status_of(job, producer().now()) if job is not None else None


@contextmanager
def _as_operational_error() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise OperationalError(f"the ledger cannot be reached ({type(error).__name__})") from error
