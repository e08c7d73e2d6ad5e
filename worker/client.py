"""Functions for backends, in addition to Celery's: cancel a job, read its status and result, upload a file for it.

    from worker.client import cancel, status

With `tenant`, a job of another tenant is treated as one that does not exist, so that a backend may pass its user's
tenant along with an id that the user sent. `url` makes a new URL of a stored file.

They read the ledger, so a job is known as soon as `delay()` has returned. All functions block, and may be called from
any thread. A row that cannot be read raises `UnreadableRowError`.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError

from config.settings import Settings
from worker.edge.pipeline import step_id, step_names
from worker.edge.sending import ledger_away, producer
from worker.edge.states import status_now
from worker.errors import InternalError, UnknownJobError
from worker.explain.history import receipt_text
from worker.jobs.aliases import STATE_ALIASES, OldState
from worker.jobs.file_keys import OURS, BadKeyError, checked, is_of_tenant
from worker.jobs.job import Job
from worker.jobs.status import JobStatus, cancel_noted, status_of
from worker.net.away import is_away, problem_of

POLL_S = 0.1  # how often a job is read while `cancel` waits for its end


def cancel(job_id: str, wait_s: float = 0, *, tenant: str | None = None) -> JobStatus:
    """Cancel a job, and wait up to `wait_s` for its end.

    The provider is asked to stop the run. Once the job has ended, `state` is REVOKED, and `receipt` says whether the
    cancel came in time and what was billed. If it has not ended yet, a worker will end it later. A job whose ending was
    already decided keeps it; `state` shows which. Calling it twice changes nothing. Raises `OperationalError` while
    Redis does not answer.

    An id without a row may be the next task of a chain, the body of a chord, or a message that no worker has accepted
    yet. Its cancel is noted for `KILNHAND_RESULT_DAYS`: a job that gets this id in that time ends as REVOKED, and
    nothing is submitted. The status then has `state` PENDING and `stage` cancel_noted. With a `tenant`, nothing is
    noted: `UnknownJobError` is raised when the tenant has no such job.
    """
    with _as_operational_error():
        if tenant is not None and _job(job_id, tenant) is None:
            raise UnknownJobError(f"there is no job {job_id[:100]!r} of this tenant")
        job = producer().cancel(job_id, note_s=Settings().worker.result_days * 86400)
        if job is None:
            return cancel_noted(job_id, producer().now())
        deadline = time.monotonic() + wait_s
        while not job.is_final and time.monotonic() < deadline:
            time.sleep(POLL_S)
            job = _job(job_id) or job
        return status_of(job, producer().now())


def status(job_id: str, *, tenant: str | None = None) -> JobStatus | None:
    """The status of a job from its row; None without a row. Raises `OperationalError` while Redis does not answer."""
    with _as_operational_error():
        return _status(_job(job_id, tenant))


class StepStatus(BaseModel):
    """A step of a pipeline: its own job's status, and its result once it is done."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: JobStatus
    result: dict[str, Any] | None = None


def steps(job_id: str, *, tenant: str | None = None) -> list[StepStatus]:
    """The steps that a pipeline has begun so far, or had when it ended, in that order, with the results of those done.

    Empty for any other job, and for an id without a row. Raises `OperationalError` while Redis does not answer.
    """
    with _as_operational_error():
        row = producer().row(job_id)
        if row is None or tenant not in (None, row.job.options.tenant):
            return []
        jobs = {name: job for name in step_names(row) if (job := _job(step_id(job_id, name)))}
        now = producer().now()
    found = [StepStatus(name=name, status=status_of(job, now), result=job.result) for name, job in jobs.items()]
    return sorted(found, key=lambda step: step.status.created_at)


class OldStatus(BaseModel):
    """A job in the words of docs/aliases.md. `progress` is 0 to 1; `error` is the text of a failure or of a cancel."""

    model_config = ConfigDict(frozen=True)

    status: OldState
    progress: float
    result: dict[str, Any] | None = None
    error: str | None = None


def old_status(job_id: str, *, tenant: str | None = None) -> OldStatus:
    """The status of a job for a backend that knows pending, running, completed, failed and cancelled.

    An id without a row is pending, as it is in Celery. Raises `OperationalError` while Redis does not answer.
    """
    with _as_operational_error():
        job = _job(job_id, tenant)
        seen = _status(job)
    if job is None or seen is None:
        return OldStatus(status="pending", progress=0.0)
    told = STATE_ALIASES[seen.state]
    done = dict(job.result) if told == "completed" and job.result is not None else None
    error = seen.error
    if told == "cancelled" and error is None:
        error = receipt_text(job.receipt, has_files=bool(job.artefacts)) if job.receipt else "cancelled"
    return OldStatus(status=told, progress=seen.progress, result=done, error=error)


def result(job_id: str, *, tenant: str | None = None) -> dict[str, Any] | None:
    """The result of a job, as `AsyncResult.get()` returns it. A job that was cancelled too late has a result, too.

    None when there is no such job, or it has no result. Raises `OperationalError` while Redis does not answer.
    """
    with _as_operational_error():
        job = _job(job_id, tenant)
        return dict(job.result) if job is not None and job.result is not None else None


def url(key: str, days: float | None = None, *, tenant: str | None = None) -> str:
    """A new URL of a stored file, by the `key` in a result: for `KILNHAND_URL_DAYS`, or for so many days.

    With a folder store it needs `KILNHAND_PUBLIC_URL` and `KILNHAND_SECRET` as the workers have them, with a bucket its
    credentials. Nobody looks whether the file still exists. Raises `BadKeyError` for anything but the key of a job's
    file, and with a `tenant` `UnknownJobError` for a file of another one or of none.
    """
    from worker.files.store import open_urls  # obstore starts threads, so not before a web server forks

    settings = Settings()
    if not checked(key).startswith(OURS):
        raise BadKeyError(f"not the key of a job's file: {key[:100]!r}")
    if tenant is not None and not is_of_tenant(key, tenant):
        raise UnknownJobError(f"this tenant has no file {key[:100]!r}")
    seconds = (settings.store.url_days if days is None else days) * 86400
    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have an event loop that runs
        return thread.submit(asyncio.run, open_urls(settings.store, settings.gateway).url(key, seconds)).result()


def upload(file: bytes | str | Path, *, tenant: str | None = None) -> str:
    """Put a file into the store of the workers, and return its key: `image=upload("photo.jpg")`.

    A request has 256 kB at most; this is the way for larger files that have no URL. A file on the disk is streamed. A
    job with a `tenant` takes the keys of that tenant only, so give it here, too. The file is kept as long as the
    finished files of a job (`KILNHAND_FILES_DAYS`). The key has the file's name, by which captions of a training find
    their picture; the same content of the same name has the same key.

    It needs `KILNHAND_STORE_URL` as the workers have it, and with a bucket its credentials. Raises
    `InvalidRequestError` for an empty or too large file (`KILNHAND_MAX_FILE_MB`; pictures 100 MB),
    `ServiceUnavailableError` when the store does not take it, and `OSError` for a file that cannot be read.
    """
    from worker.files.store import open_for_writing  # obstore starts threads, so not before a web server forks
    from worker.files.upload import check_folder, upload_file

    settings = Settings().store
    check_folder(settings)
    name = "" if isinstance(file, bytes) else Path(file).name
    with BytesIO(file) if isinstance(file, bytes) else Path(file).open("rb") as opened, ThreadPoolExecutor(1) as thread:
        storing = upload_file(open_for_writing(settings), opened, name, tenant, settings.max_file_mb * 1_000_000)
        return thread.submit(asyncio.run, storing).result()


def _job(job_id: str, tenant: str | None = None) -> Job | None:
    """The job of an id. With a tenant, only if it is the tenant's."""
    row = producer().row(job_id)
    return row.job if row and tenant in (None, row.job.options.tenant) else None


def _status(job: Job | None) -> JobStatus | None:
    from worker.edge.app import app

    return status_now(app.backend, job, producer().now()) if job is not None else None


@contextmanager
def _as_operational_error() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        if not is_away(error):
            raise InternalError(f"the ledger refused it ({problem_of(error)})") from error
        raise OperationalError(ledger_away(error)) from error
