"""Whether a language model's answer can be handed on, and the one repair round when it cannot. Pure.

The vendors promise JSON of the schema. Here it is read again, and checked against what was asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from tasks.language.answers import Answer, Asked
from tasks.language.requests import LanguageRequest
from worker.jobs.answers import AnswerFaults

MAX_LINES = 12
MAX_SHOWN = 8_000  # characters of a bad answer that are shown to the model again

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class LanguageCheck:
    """Checks the answers of one language task. See `worker.jobs.answers.AnswerCheck`."""

    asks: type[LanguageRequest]

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> Mapping[str, Any] | AnswerFaults:
        """The answer in `{"json": …}`, in its final order; or its faults."""
        asked = self.asks.model_validate(request)
        answer = checked_answer(asked.answer, output, asked.asked)
        return answer if isinstance(answer, AnswerFaults) else answer.model_dump(mode="json")

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """See `repaired`."""
        return repaired(arguments, faults)


def repaired(arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
    """The same question, followed by the bad answer (if one came) and what is wrong with it."""
    shown = "" if faults.answer is None else f"Your last answer was:\n{_shown(faults.answer)}\n\n"
    wrong = "\n".join(f"- {line}" for line in faults.lines)
    again = f"{shown}It cannot be used:\n{wrong}\n\nAnswer again, as a whole, with every fault mended."
    return {**arguments, "prompt": f"{arguments['prompt']}\n\n{again}"}


def checked_answer(kind: type[A], output: Mapping[str, Any], asked: Asked) -> A | AnswerFaults:
    """The answer in a provider's output, in its final order; or its faults, which quote nothing of it."""
    if "json" not in output:
        return AnswerFaults(("it is not JSON",), output.get("text"))
    try:
        answer = kind.model_validate(output["json"])
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)[:MAX_LINES]
        return AnswerFaults(tuple(map(_line, items)), output["json"])
    lines = tuple(answer.faults(asked))[:MAX_LINES]
    return AnswerFaults(lines, output["json"]) if lines else answer.settled(asked)


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "the whole"
    return f"{where}: {item['msg'][:200]}"


def _shown(answer: Any) -> str:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …"
