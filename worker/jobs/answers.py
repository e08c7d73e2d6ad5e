"""A task's own check of what a provider answered, where files alone are not the answer. Pure.

The engine calls it and knows nothing of the task: language tasks bring theirs, and so may any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class AnswerFaults:
    """Why an answer cannot be used, one line a fault, and the answer itself as the next attempt may be shown it."""

    lines: tuple[str, ...]
    answer: Any = None

    @property
    def text(self) -> str:
        """All faults in one line."""
        return "; ".join(self.lines)


class AnswerCheck(Protocol):
    """Given to `job_task` as `check`."""

    def check(self, request: Mapping[str, Any], output: Mapping[str, Any]) -> Mapping[str, Any] | AnswerFaults:
        """The answer as the caller gets it, from the provider's output; or what is wrong with it."""

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The arguments of the one attempt that follows a faulty answer."""
