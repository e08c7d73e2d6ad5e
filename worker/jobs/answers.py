"""A task's own check of a provider's answer, for tasks whose answer is not only files. Pure.

The engine calls it and needs to know nothing about the task. Language tasks have one; other tasks may have one too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class AnswerFaults:
    """Why an answer cannot be used, one line for each fault. `answer` can be shown to the model in the next attempt."""

    lines: tuple[str, ...]
    answer: Any = None

    @property
    def text(self) -> str:
        """All faults in one line."""
        return "; ".join(self.lines)

    def dump(self) -> dict[str, Any]:
        """The faults as a row keeps them for the next attempt."""
        return {"answer": self.answer, "complaint": list(self.lines)}

    @classmethod
    def load(cls, kept: Mapping[str, Any]) -> Self:
        """The faults that `dump` gave."""
        return cls(tuple(kept["complaint"]), kept.get("answer"))


class AnswerCheck(Protocol):
    """Given to `job_task` as `check`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> Mapping[str, Any] | AnswerFaults:
        """The answer for the caller, from the provider's output; or what is wrong with it.

        `facts`: what the task's file check has found (`Step.facts`). What stands under `worker.jobs.status.VALUES`
        becomes fields of the result, beside the files; without files, an answer without it becomes the field `answer`.
        """

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The arguments of the attempt that follows a faulty answer. Only one attempt follows."""
