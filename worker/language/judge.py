"""Whether an answer can be handed on, and the one repair round when it cannot.

The vendors promise JSON of the schema; here it is read again, and held against what was asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from worker.language.answers import Answer, Asked

MAX_LINES = 12
MAX_SHOWN = 8_000  # characters of a bad answer that are shown to the model again

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Complaint:
    """Why an answer cannot be handed on, a line for each fault. It quotes nothing of the answer."""

    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, in one line."""
        return "; ".join(self.lines)


def judged(kind: type[A], output: Mapping[str, Any], asked: Asked) -> A | Complaint:
    """The answer in a reply's output (`{"json": …}`), settled, or what is wrong with it."""
    if "json" not in output:
        return Complaint(("it is not JSON",))
    try:
        answer = kind.model_validate(output["json"])
    except ValidationError as error:
        return Complaint(
            tuple(_line(item) for item in error.errors(include_url=False, include_input=False)[:MAX_LINES])
        )
    lines = tuple(answer.faults(asked))[:MAX_LINES]
    return Complaint(lines) if lines else answer.settled(asked)


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "the whole"
    return f"{where}: {item['msg'][:200]}"


def repair(arguments: Mapping[str, Any], bad: Any, complaint: Complaint) -> dict[str, Any]:
    """The arguments of the repair round: the same question, the bad answer (None if none came), what is wrong."""
    shown = "" if bad is None else f"Your last answer was:\n{_shown(bad)}\n\n"
    wrong = "\n".join(f"- {line}" for line in complaint.lines)
    again = f"{shown}It cannot be used:\n{wrong}\n\nAnswer again, as a whole, with every fault mended."
    return {**arguments, "prompt": f"{arguments['prompt']}\n\n{again}"}


def _shown(bad: Any) -> str:
    text = bad if isinstance(bad, str) else json.dumps(bad, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …"
