"""Names of the ledger's keys in Redis, and parsing of a row's hash. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from worker.jobs.job import HistoryEntry, Job, load_job
from worker.ledger.base import Claim, IdempotencyKey, Row, UnreadableRowError

SIGNAL = "signal:"

# The version of rows that this code writes. An older worker leaves a row of a newer version alone, because it would
# drop the fields that it does not know. Raise it with a field whose loss does harm: one that guards money or an ending.
# Rows without a version are of version 1.
ROW_VERSION = 1
LONG_CHARS = 1000  # of an argument, as JSON


class Keys:
    """The names of the ledger's keys. They never change: operators' scripts read them."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.dead, self.bad = prefix, f"{prefix}dead", f"{prefix}bad"
        self.ended = f"{prefix}ended"

    def job(self, job_id: str) -> str:
        """The hash of a row."""
        return f"{self.prefix}job:{job_id}"

    def due(self, queue: str) -> str:
        """The due times of a queue's rows."""
        return f"{self.prefix}due:{queue}"

    def sends(self, queue: str, tenant: str) -> str:
        """How much of its share of a queue a tenant has sent."""
        return f"{self.prefix}sends:{queue}:{tenant}"

    def run(self, run: str) -> str:
        """The id of the job that a run at a provider belongs to."""
        return f"{self.prefix}run:{run}"

    def equal(self, name: str) -> str:
        """The newest run of equal requests."""
        return f"{self.prefix}equal:{name}"

    def written(self, job: Job, key: IdempotencyKey | None = None) -> list[str]:
        """The keys that a write of this row touches, with that of its idempotency key."""
        return [self.job(job.id), self.due(job.queue), *self.idempotency(key)]

    def idempotency(self, key: IdempotencyKey | None) -> list[str]:
        """The Redis key of an idempotency key; empty without one."""
        return [f"{self.prefix}once:{key.value}"] if key else []


def read_job(job_id: str, doc: Any) -> Job:
    """The job of a row's document. Raises `UnreadableRowError`."""
    try:
        job = load_job(doc)
    except (ValidationError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRowError(f"job {job_id}: its row cannot be read ({_problem(error)})") from error
    if job.id != job_id:
        raise UnreadableRowError(f"job {job_id}: its row is that of another job ({job.id})")
    return job


def _problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return type(error).__name__
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'doc'}: {first['msg']}"[:300]


def accepted_job(job: Job, sent: bytes | None, now: float) -> Job:
    """The job at stage accepted. `sent` is the stored sent row: its time, history and expiry are kept."""
    before = read_job(job.id, sent) if sent else job
    history = (*before.history, HistoryEntry(now, "accepted"))
    expires = {name: value for name, value in before.message.items() if name == "expires_at"}
    message = {**job.message, **expires}
    return replace(job, created_at=now, sent_at=before.sent_at, history=history, message=message)


def confirmed_doc(doc: bytes, now: float) -> bytes:
    """The document of a closing row as it is when its ending is confirmed. Fields of a newer version stay.

    The row is kept for days: long arguments that are the request's, and the URLs of uploads, are left out.
    """
    row = json.loads(doc)
    asked, step = row.get("request", {}), row.get("step", {})
    kept = {
        name: each
        for name, each in step.get("arguments", {}).items()
        if not (_is_long(each) and each == asked.get(name))
    }
    row["step"] = {**step, "arguments": kept}
    row.pop("uploads", None)
    row |= {"stage": row["ending"], "history": [*row.get("history", ()), {"at": now, "what": "closed"}]}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def _is_long(value: Any) -> bool:
    return len(json.dumps(value)) > LONG_CHARS


def read_claim(flat: Any, now: float) -> Claim:
    """The claim on a row, from the flat fields that claim.lua returns. Raises `UnreadableRowError`."""
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    job_id = pairs[-1][1].decode(errors="replace")
    row = _fields(job_id, pairs)
    job = read_job(job_id, row.get("doc"))
    if (row.get("stage"), row.get("queue")) != (job.stage.value.encode(), job.queue.encode()):
        raise UnreadableRowError(f"job {job_id}: the stage or the queue beside its document is another one")
    fence, strikes, heard, late_ms = (_number(job_id, row, name) for name in ("fence", "strikes", "heard", "late"))
    return Claim(job, fence, now, strikes, _signals(job_id, row), heard, late_ms / 1000)


def read_row(job_id: str, found: Mapping[bytes, bytes], due_ms: float | None, expires_ms: int = -1) -> Row:
    """The row, from HGETALL, its score in the due set, and the key's expiry (negative: none).

    Raises `UnreadableRowError`.
    """
    row = _fields(job_id, found.items())
    until = _number(job_id, row, "until")
    return Row(
        read_job(job_id, row.get("doc")),
        due_at=None if due_ms is None else due_ms / 1000,
        held_until=until / 1000 if until else None,
        fence=_number(job_id, row, "fence"),
        claims_since_write=_number(job_id, row, "strikes"),
        signals=_signals(job_id, row),
        forgotten_at=expires_ms / 1000 if expires_ms >= 0 else None,
    )


def _fields(job_id: str, pairs: Any) -> dict[str, bytes]:
    try:
        return {key.decode(): value for key, value in pairs}
    except UnicodeDecodeError as error:
        raise UnreadableRowError(f"job {job_id}: the name of a field is not UTF-8") from error


def _number(job_id: str, row: Mapping[str, bytes], name: str) -> int:
    try:
        return int(row[name])
    except (KeyError, ValueError) as error:
        raise UnreadableRowError(f"job {job_id}: {name} is no number") from error


def _signals(job_id: str, row: Mapping[str, bytes]) -> dict[str, str]:
    try:
        return {key[len(SIGNAL) :]: value.decode() for key, value in row.items() if key.startswith(SIGNAL)}
    except UnicodeDecodeError as error:
        raise UnreadableRowError(f"job {job_id}: a signal is not UTF-8") from error
