"""What the task class needs of a worker process, for the rows of its jobs."""

from typing import Protocol

from worker.jobs.job import Job
from worker.ledger.base import IdempotencyKey


class JobService(Protocol):
    """The part of a worker process that keeps rows; `worker.edge.dispatcher_thread` is the real one."""

    def accept(self, job: Job, key: IdempotencyKey | None) -> tuple[bool, Job]:
        """Write the row unless there is one. See `Ledger.accept` for a job whose idempotency key another one owns.

        All methods raise `ServiceUnavailableError` while the ledger is away.
        """

    def refuse(self, job_id: str, key: IdempotencyKey | None, sent_at: float | None) -> bool:
        """A first delivery cannot be accepted: its sent row and its key are removed. False if the row is another's."""

    def has_row(self, job_id: str) -> bool:
        """Whether there is a job of this id."""

    def take(self, job_id: str) -> Job | None:
        """Take the ending of a closing row. Only one delivery gets it."""

    def pause(self) -> None:
        """Wait before a message is returned to its queue: it comes again at once."""

    def leave(self, job_id: str) -> None:
        """This delivery of an ending is over. If it was not confirmed, it is delivered once more."""

    def confirm(self, job_id: str) -> None:
        """The ending has reached Celery."""
