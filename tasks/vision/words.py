"""Words about a picture by a small, fast model. `tasks.language` asks large models, about several pictures at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.answers import AnswerFaults
from worker.jobs.file_refs import Image
from worker.jobs.job import Step
from worker.jobs.picture_fields import ModelName, Prompt
from worker.jobs.request import BaseRequest
from worker.jobs.status import VALUES, JobResult

MOST_CHARACTERS = 50_000


class _Words(BaseRequest):
    image: Image
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class Ask(_Words):
    """A question about a picture. `reasoning`: the model thinks first; its thoughts come with the answer."""

    model: ModelName = "moondream3-query"
    question: Prompt
    reasoning: bool | None = None


class Describe(_Words):
    """A description of a picture."""

    model: ModelName = "moondream3-caption"
    length: Literal["short", "normal", "long"] | None = None


class Answered(JobResult):
    """The result of a question."""

    answer: str
    reasoning: str | None = None


class Described(JobResult):
    """The result of a description."""

    description: str


@dataclass(frozen=True)
class WordsCheck:
    """Takes the text of an answer as this field of the result. See `worker.jobs.answers.AnswerCheck`."""

    field: str

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> dict[str, Any] | AnswerFaults:
        """The text, and the model's thoughts if it gives them."""
        text, thoughts = output.get("output"), output.get("reasoning")
        if not isinstance(text, str) or not text.strip():
            return AnswerFaults(("the answer has no text",))
        values = {self.field: text.strip()[:MOST_CHARACTERS]}
        if isinstance(thoughts, str) and thoughts.strip():
            values["reasoning"] = thoughts.strip()[:MOST_CHARACTERS]
        return {VALUES: values}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same question again."""
        return dict(arguments)


@job_task("vision.ask", queue="vision", asks=Ask, gives=Answered, check=WordsCheck("answer"))
def ask(request: Ask, model: Model) -> Step:
    """Answer a question about a picture."""
    return _step(request, model)


@job_task("vision.describe", queue="vision", asks=Describe, gives=Described, check=WordsCheck("description"))
def describe(request: Describe, model: Model) -> Step:
    """Describe a picture."""
    return _step(request, model)


def _step(request: _Words, model: Model) -> Step:
    arguments = request.as_arguments()
    return Step(model.name, arguments, (), request.extra)
