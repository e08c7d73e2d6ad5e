"""Names of the ledger's keys in Redis, and parsing of a row's hash. No I/O."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from pydantic import ValidationError

from worker.jobs.job import HistoryEntry, Job, load_job
from worker.ledger.base import Claim, IdempotencyKey, Row

log = structlog.get_logger(__name__)

SIGNAL = "signal:"


class Keys:
    """The names of the ledger's keys. They never change: operators' scripts read them."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.dead = prefix, f"{prefix}dead"

    def job(self, job_id: str) -> str:
        """The hash of a row."""
        return f"{self.prefix}job:{job_id}"

    def due(self, queue: str) -> str:
        """The due times of a queue's rows."""
        return f"{self.prefix}due:{queue}"

    def written(self, job: Job, key: IdempotencyKey | None = None) -> list[str]:
        """The keys that a write of this row touches, with that of its idempotency key."""
        return [self.job(job.id), self.due(job.queue), *self.idempotency(key)]

    def idempotency(self, key: IdempotencyKey | None) -> list[str]:
        """The Redis key of an idempotency key; empty without one."""
        return [f"{self.prefix}once:{key.value}"] if key else []


def accepted_job(job: Job, sent: bytes | None, now: float) -> Job:
    """The job at stage accepted. `sent` is the stored sent row: its time, history and expiry are kept."""
    before = load_job(sent) if sent else job
    history = (*before.history, HistoryEntry(now, "accepted"))
    expires = {name: value for name, value in before.message.items() if name == "expires_at"}
    message = {**job.message, **expires}
    return replace(job, created_at=now, sent_at=before.sent_at, history=history, message=message)


def read_claim(flat: Any, now: float) -> Claim | None:
    """The claim on a row, from the flat fields that claim.lua returns; None for a row that cannot be read."""
    row = _fields(zip(flat[::2], flat[1::2], strict=True))
    try:
        job = load_job(row["doc"])
    except ValidationError as error:
        log.error("row_unreadable", job=row["id"].decode(), stage=row["stage"].decode(), problems=error.error_count())
        return None
    signals, late_s = _signals(row), int(row["late"]) / 1000
    return Claim(job, int(row["fence"]), now, int(row["strikes"]), signals, int(row["heard"]), late_s)


def read_row(found: Mapping[bytes, bytes], due_ms: float | None, expires_ms: int = -1) -> Row:
    """The row, from HGETALL, its score in the due set, and the key's expiry (negative: none)."""
    row = _fields(found.items())
    until = int(row["until"])
    return Row(
        load_job(row["doc"]),
        due_at=None if due_ms is None else due_ms / 1000,
        held_until=until / 1000 if until else None,
        fence=int(row["fence"]),
        claims_since_write=int(row["strikes"]),
        signals=_signals(row),
        forgotten_at=expires_ms / 1000 if expires_ms >= 0 else None,
    )


def _fields(pairs: Any) -> dict[str, bytes]:
    return {key.decode(): value for key, value in pairs}


def _signals(row: Mapping[str, bytes]) -> dict[str, str]:
    return {key[len(SIGNAL) :]: value.decode() for key, value in row.items() if key.startswith(SIGNAL)}
