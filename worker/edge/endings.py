"""How the ending of a row becomes the result, or the error, of its task."""

from typing import Any, NoReturn

from celery.exceptions import Ignore

from worker.errors import InternalError, KilnhandError, error_class
from worker.jobs.job import Job, Stage


def ending_of(job: Job) -> dict[str, Any]:
    """The result of a job whose ending is decided. Raises its error; `Ignore` for one that was cancelled."""
    if job.ending == Stage.COMPLETED:
        return dict(job.result or {})
    _raise(job)


def _raise(job: Job) -> NoReturn:
    if job.error is None:
        raise Ignore
    cls = error_class(job.error.code)
    raise cls(job.error.message) if issubclass(cls, KilnhandError) else InternalError(job.error.message)
