"""What the task of a closing message returns or raises, from the ending on the row."""

from typing import Any, NoReturn

from celery.exceptions import Ignore

from worker.errors import InternalError, KilnhandError, error_class
from worker.jobs.job import Job, Stage


def ending_of(job: Job) -> dict[str, Any]:
    """The result of a job that completed. Raises the error of one that failed."""
    if job.ending == Stage.COMPLETED:
        return dict(job.result or {})
    _raise(job)


def _raise(job: Job) -> NoReturn:
    if job.error is None:
        raise Ignore
    cls = error_class(job.error.code)
    raise cls(job.error.message) if issubclass(cls, KilnhandError) else InternalError(job.error.message)
