"""What a genuine webhook is worth: does it tell a row something new? If so it is left there as a signal.

Nothing is decided from its payload here; that is the worker's. Whether it is genuine is the idea of
`worker.gateway.webhooks`.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from worker.jobs.job import Stage
from worker.jobs.signals import WebhookReport, webhook_signal
from worker.ledger.base import Ledger, Row

_OPEN = frozenset({Stage.SUBMITTING, Stage.UNKNOWN, Stage.WAITING})
_BETWEEN = frozenset({Stage.SENT, Stage.ACCEPTED})


class Kind(StrEnum):
    """What a posted webhook turned out to be. Frozen: dashboards count them."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the attempt's end is known already
    LATE = "late"  # the job's ending is decided
    STALE = "stale"  # of an attempt that is over
    UNKNOWN_JOB = "unknown_job"  # the ledger has no such row, or no such attempt of it
    MISMATCH = "mismatch"  # of another request than the attempt's
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a word
    FORGED = "forged"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    FAILED = "failed"  # ours: ledger or keys are out of reach


class Told(BaseModel):
    """A webhook's body."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    request_id: str = Field(min_length=1, max_length=200)
    gateway_request_id: str | None = Field(None, max_length=200)  # differs once fal has retried by itself
    status: Literal["OK", "ERROR"]
    payload: dict[str, Any] | None = None
    payload_error: str | None = None
    error: str | None = None

    @field_validator("payload", mode="before")
    @classmethod
    def _only_an_object(cls, payload: Any) -> Any:
        return payload if isinstance(payload, dict) else None  # that the run is over is news all the same

    def heard(self, now: float) -> WebhookReport:
        """As a row keeps it, under the id that the submission was answered with."""
        request_id = self.gateway_request_id or self.request_id
        return WebhookReport(request_id, self.status, now, self.payload, self.payload_error, self.error)


async def hear(ledger: Ledger, job_id: str, attempt: int, told: Told, now: float) -> Kind:
    """Leave what was told on the row, if it is new there. Told twice at once, it is left twice, to the same effect."""
    kind = judge(await ledger.row(job_id), attempt, told)
    if kind is not Kind.ACCEPTED:
        return kind
    job = await ledger.signal(job_id, webhook_signal(attempt), told.heard(now).dump())
    if job is None:
        return Kind.UNKNOWN_JOB
    return Kind.LATE if job.ending else Kind.ACCEPTED  # the ending was decided between the two calls


def judge(row: Row | None, attempt: int, told: Told) -> Kind:
    """What a webhook of this attempt is to this row. Without a ticket it is accepted: it brings the request id."""
    if row is None or not row.job.attempts or attempt > row.job.attempts[-1].number:
        return Kind.UNKNOWN_JOB
    job, current = row.job, row.job.attempts[-1]
    if job.ending:
        return Kind.LATE
    if attempt < current.number or job.stage in _BETWEEN:
        return Kind.STALE
    if current.ticket and current.ticket.request_id not in {told.request_id, told.gateway_request_id}:
        return Kind.MISMATCH
    if job.stage not in _OPEN or webhook_signal(attempt) in row.signals:
        return Kind.DUPLICATE
    return Kind.ACCEPTED
