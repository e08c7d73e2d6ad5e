"""What a submission brought, kept where another worker finds it when its own worker cannot write the row.

Two places: a signal on the row, when another worker holds it by now; the store, while the ledger is away, because the
process may die before the ledger is back. A ticket or an answer in hand is paid for: neither may depend on one process.
"""

import asyncio
from dataclasses import replace
from io import BytesIO

import structlog

from worker.files.base import Store
from worker.jobs.file_keys import outcome_key
from worker.jobs.job import Job, Stage, dump_job, dump_ticket, load_job
from worker.jobs.signals import outcome_signal, ticket_signal
from worker.ledger.base import Ledger

log = structlog.get_logger(__name__)

SIGNAL_PAUSES_S = (0.2, 1.0, 2.0, 5.0)


def has_outcome(written: Job, job: Job) -> bool:
    """Whether the job has the outcome of a submission that the ledger does not know. `written` is its row."""
    return written.stage == Stage.SUBMITTING and job.stage not in {Stage.SUBMITTING, Stage.UNKNOWN}


def outcome_as_signal(job: Job) -> tuple[str, str]:
    """The name and the value of the signal: the ticket, or the row as it was to be written."""
    attempt = job.attempts[-1]
    if attempt.ticket:
        return ticket_signal(attempt.number), dump_ticket(attempt.ticket)
    return outcome_signal(attempt.number), _dump(job)


async def leave_as_signal(ledger: Ledger, job: Job) -> bool:
    """Leave the outcome for the worker that holds the row now. False when the ledger did not take it."""
    name, value = outcome_as_signal(job)
    for pause_s in SIGNAL_PAUSES_S:
        try:
            await ledger.signal(job.id, name, value)
        except Exception:  # the outer rim: whatever the ledger's client raises
            log.warning("outcome_not_left", job=job.id, signal=name, exc_info=True)
            await asyncio.sleep(pause_s)
        else:
            return True
    return False


class OutcomeStore:
    """Outcomes in the store of files, one object for each attempt."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, job: Job) -> bool:
        """Keep the outcome of the last attempt. False when the store cannot take it either."""
        try:
            await self._store.put(outcome_key(job), BytesIO(_dump(job).encode()), "application/json")
        except Exception:  # the outer rim: a store that fails must not stop the writes to the ledger
            log.warning("outcome_not_kept", job=job.id, exc_info=True)
            return False
        return True

    async def get(self, job: Job) -> Job | None:
        """The row that the submission of the last attempt led to. Raises an `ExternalServiceError`."""
        try:
            return load_job(b"".join([part async for part in self._store.read(outcome_key(job))]))
        except KeyError:
            return None

    async def drop(self, job: Job) -> None:
        """Remove it: the row has it."""
        try:
            await self._store.delete(outcome_key(job))
        except Exception:  # the outer rim: what stays behind is small, and does no harm
            log.warning("outcome_not_removed", job=job.id, exc_info=True)


def _dump(job: Job) -> str:
    return dump_job(replace(job, history=(), message={}, request={})).decode()
