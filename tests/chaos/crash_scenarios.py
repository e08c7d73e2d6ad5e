"""The scenario that reaches each crash point: its jobs, and the faults at the twin."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """Kinds of jobs, and faults at the twin."""

    kinds: tuple[str, ...]
    faults: tuple[Mapping[str, Any], ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "any job": Scenario(("chain", "training")),
    "a lost message": Scenario(("lost",)),
    "a cancelled job": Scenario(("slow",)),
    "a lost answer": Scenario(
        ("picture",),
        ({"call": "submit", "what": "drop", "accepted": True, "times": 2, "endpoint": "fal-ai/flux/schnell"},),
    ),
    "a refusal for now": Scenario(
        ("picture",),
        ({"call": "submit", "what": "http", "status": 429, "times": 2, "endpoint": "fal-ai/flux/schnell"},),
    ),
    "a pipeline": Scenario(("sticker",)),
    "an equal request": Scenario(("equal",)),
    "a caller dies": Scenario(()),
}

_BY_POINT = {
    "before_sent_row": "a caller dies",
    "after_sent_row": "a caller dies",
    "after_message": "a caller dies",
    "before_write_sent": "a lost message",
    "after_write_sent": "a lost message",
    "before_resend": "a lost message",
    "after_resend": "a lost message",
    "before_write_accepted": "a refusal for now",
    "after_write_accepted": "a refusal for now",
    "before_write_unknown": "a lost answer",
    "after_write_unknown": "a lost answer",
    "after_step_noted": "a pipeline",
    "after_step_sent": "a pipeline",
    "after_run_sent": "an equal request",
    "after_run_joined": "an equal request",
    "before_stop": "a cancelled job",
    "after_stop": "a cancelled job",
    "before_revoked": "a cancelled job",
    "after_revoked": "a cancelled job",
}


def scenario_of(point: str) -> str:
    """Return the scenario that reaches a point; points without an entry are reached by any job."""
    return _BY_POINT.get(point, "any job")
