"""Writes live states to Celery's result backend from the event loop, in the same format as Celery's own writes.

Celery's backend blocks. With a thousand jobs that report progress, a thread per write costs more than the write.
"""

from typing import Any

from pydantic import ValidationError

from worker.edge.backend import JOB_ENDINGS, MonotonicRedisBackend, store_script
from worker.edge.message import context_of
from worker.jobs.job import Job, Stage
from worker.jobs.status import JobStatus, status_of
from worker.net.redis_client import open_async_redis


def status_now(backend: Any, job: Job, now: float) -> JobStatus:
    """The job's status. While its call is out, how far it is is not in the row, but in the state that was published."""
    from_row = status_of(job, now)
    if job.stage != Stage.SUBMITTING:
        return from_row
    try:
        published = JobStatus.model_validate(backend.get_task_meta(job.id)["result"])
    except ValidationError:  # there is none, or it is of another version
        return from_row
    is_of_call = (published.stage, published.attempt) == (from_row.stage, from_row.attempt)
    return published if is_of_call else from_row


class LiveStates:
    """Writes QUEUED and IN_PROGRESS. Celery itself writes the endings."""

    def __init__(self, backend: MonotonicRedisBackend, url: str) -> None:
        self._backend = backend
        self._redis = open_async_redis(url, max_connections=8, timeout=30, socket_timeout=10)
        self._store = self._redis.register_script(store_script())

    async def write(self, job: Job, status: JobStatus) -> None:
        """Store the state with the status as its meta, unless a final state is stored or the caller ignores results."""
        if job.message.get("ignore_result"):
            return
        meta: dict[str, Any] = self._backend._get_result_meta(
            result=status.model_dump(mode="json"), state=status.state, traceback=None, request=context_of(job)
        )
        meta["task_id"] = job.id
        key, value = self._backend.get_key_for_task(job.id), self._backend.encode(meta)
        await self._store(keys=[key], args=[value, int(self._backend.expires or 0), *JOB_ENDINGS])

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)
