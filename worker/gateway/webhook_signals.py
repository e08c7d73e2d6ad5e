"""Classifies a genuine webhook against its row, and stores it on the row as a signal if it is new.

`worker.gateway.webhooks` checks that it is genuine. A worker acts on its payload; nothing is decided from it here.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import to_json

from worker.files.needed_answer import is_inline, needed_answer
from worker.jobs.job import Attempt, Piece, Stage
from worker.jobs.signals import WebhookReport, webhook_signal
from worker.ledger.base import Ledger, Row

_LONGEST_TEXT = 1000
_MOST_BYTES = 64 << 10  # of a payload on a row


class WebhookKind(StrEnum):
    """The result of a posted webhook. The values are a metric label, so they never change."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the row already knows that the attempt has ended
    LATE = "late"  # the job's ending is decided
    STALE = "stale"  # for an attempt that is over
    UNKNOWN_JOB = "unknown_job"  # the ledger has no such row, or the row has no such attempt
    MISMATCH = "mismatch"  # for another request id than the attempt's
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a word
    FORGED = "forged"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    FAILED = "failed"  # our side: the ledger or fal's keys cannot be reached


class WebhookBody(BaseModel):
    """A webhook's body."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    request_id: str = Field(min_length=1, max_length=200)
    gateway_request_id: str | None = Field(None, max_length=200)  # differs after a retry on fal's side
    status: Literal["OK", "ERROR"]
    payload: dict[str, Any] | None = None
    payload_error: str | None = None
    error: str | None = None

    @field_validator("payload", mode="before")
    @classmethod
    def _only_an_object(cls, payload: Any) -> Any:
        return payload if isinstance(payload, dict) else None  # the webhook still says that the run has ended

    @field_validator("payload_error", "error", mode="before")
    @classmethod
    def _only_a_short_text(cls, text: Any) -> Any:
        return text if text is None else str(text)[:_LONGEST_TEXT]

    def report(self, now: float, pieces: Sequence[Piece] = ()) -> WebhookReport:
        """The report for the row, with the request id that fal returned for the submission.

        Of the payload it has what a row needs. A payload with files inside is not kept: the answer can be fetched.
        """
        request_id, payload, why = self.gateway_request_id or self.request_id, self.payload, self.payload_error
        payload = payload and needed_answer(payload, pieces)
        if payload and (is_inline(payload) or len(to_json(payload)) > _MOST_BYTES):
            payload, why = None, "too large for a row"
        return WebhookReport(request_id, self.status, now, payload, why, self.error)


async def record_webhook(ledger: Ledger, job_id: str, attempt: int, body: WebhookBody, now: float) -> WebhookKind:
    """Store the webhook on its row if it is new there. Two at the same time are both stored, with the same effect."""
    row = await ledger.row(job_id)
    kind = classify(row, attempt, body)
    if row is None or kind is not WebhookKind.ACCEPTED:
        return kind
    report = body.report(now, row.job.step.pieces)
    job = await ledger.signal(job_id, webhook_signal(attempt), report.dump())
    if job is None:
        return WebhookKind.UNKNOWN_JOB
    return WebhookKind.LATE if job.ending else WebhookKind.ACCEPTED  # the ending was decided between the two calls


def classify(row: Row | None, attempt: int, body: WebhookBody) -> WebhookKind:
    """The kind of a webhook for this attempt.

    Without a ticket it is accepted, since it brings the request id: also for an attempt that fal refused, at any time
    before the job's ending is decided.
    """
    if row is None or not row.job.attempts or attempt > row.job.attempts[-1].number:
        return WebhookKind.UNKNOWN_JOB
    job, current = row.job, row.job.attempts[-1]
    if job.ending:
        return WebhookKind.LATE
    if any(each.number == attempt and _was_refused(each) for each in job.attempts):
        return WebhookKind.DUPLICATE if webhook_signal(attempt) in row.signals else WebhookKind.ACCEPTED
    if attempt < current.number or _is_between_attempts(job.stage):
        return WebhookKind.STALE
    if current.ticket and current.ticket.request_id not in {body.request_id, body.gateway_request_id}:
        return WebhookKind.MISMATCH
    if not _expects_webhook(job.stage) or webhook_signal(attempt) in row.signals:
        return WebhookKind.DUPLICATE
    return WebhookKind.ACCEPTED


def _was_refused(attempt: Attempt) -> bool:
    """Whether fal answered with an error. It had taken the request all the same if a webhook comes for it."""
    return attempt.error is not None and not attempt.was_taken


def _is_between_attempts(stage: Stage) -> bool:
    return stage in {Stage.SENT, Stage.ACCEPTED}


def _expects_webhook(stage: Stage) -> bool:
    """Whether the end of the present attempt is still news."""
    match stage:
        case Stage.SUBMITTING | Stage.UNKNOWN | Stage.WAITING:
            return True
        case Stage.SENT | Stage.ACCEPTED | Stage.FETCHED | Stage.STORED:
            return False
        case Stage.CLOSING | Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            return False
        case _:
            assert_never(stage)
