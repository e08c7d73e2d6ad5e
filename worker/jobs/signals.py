"""Signals that other processes leave on a row for its next step: a cancel, a webhook report, a late outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

CANCEL = "cancel"
RUN_OF = "run_of"  # the id of the run that a job with `reuse_s` has a part in
JOINED, LEFT = "joined:", "left:"  # on a run, before the id of a job that has or had a part in it
AFTER_THE_END = (JOINED, LEFT)  # these stay on a row that has ended: its jobs are told of the end
STEP_BEGUN, STEP_ENDED = "step:", "step_ended:"  # before the name of a pipeline's step


@dataclass(frozen=True)
class WebhookReport:
    """A provider's report, by webhook, that a run has ended."""

    request_id: str
    status: Literal["OK", "ERROR"]
    at: float  # the gateway's clock, seconds since the epoch
    payload: Mapping[str, Any] | None = None
    payload_error: str | None = None  # why the payload is missing; the answer can still be fetched
    error: str | None = None

    def dump(self) -> str:
        """The report as JSON, the value of a signal."""
        return _REPORT.dump_json(self).decode()

    @classmethod
    def load(cls, raw: str) -> "WebhookReport":
        """The report from its JSON."""
        return _REPORT.validate_json(raw)


_REPORT = TypeAdapter(WebhookReport)


def webhook_signal(attempt: int) -> str:
    """The name of the signal with an attempt's webhook report."""
    return f"webhook:{attempt}"


def ticket_signal(attempt: int) -> str:
    """The name of the signal with an attempt's ticket, when the claim was lost before the ticket was written."""
    return f"ticket:{attempt}"


def outcome_signal(attempt: int) -> str:
    """The name of the signal with what an attempt without a ticket led to, when the claim was lost before its write."""
    return f"outcome:{attempt}"
