"""What a provider tells by webhook, as a row keeps it; and the URL that it tells it to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Heard:
    """A provider's word that a run has ended."""

    request_id: str
    status: str
    at: float
    payload: Mapping[str, Any] | None = None
    payload_error: str | None = None
    error: str | None = None

    def dump(self) -> str:
        """As JSON, the value of a signal."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, raw: str) -> "Heard":
        """From its JSON."""
        return cls(**json.loads(raw))
