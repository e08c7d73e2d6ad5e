"""What others leave on a row for its next step: a cancel, a provider's webhook, a ticket that came late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

CANCEL = "cancel"


@dataclass(frozen=True)
class WebhookReport:
    """A provider's word that a run has ended."""

    request_id: str
    status: Literal["OK", "ERROR"]
    at: float  # the gateway's clock, seconds since the epoch
    payload: Mapping[str, Any] | None = None
    payload_error: str | None = None  # why the payload is missing; the answer can still be asked for
    error: str | None = None

    def dump(self) -> str:
        """As JSON, the value of a signal."""
        return _HEARD.dump_json(self).decode()

    @classmethod
    def load(cls, raw: str) -> "WebhookReport":
        """From its JSON."""
        return _HEARD.validate_json(raw)


_HEARD = TypeAdapter(WebhookReport)


def webhook_signal(attempt: int) -> str:
    """The signal that carries what was heard of an attempt."""
    return f"webhook:{attempt}"


def ticket_signal(attempt: int) -> str:
    """The signal that carries an attempt's ticket to a row whose writer came too late."""
    return f"ticket:{attempt}"
