"""Any endpoint of fal with its own arguments, and any of its workflows."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, StringConstraints

from config.catalogue import Model
from tasks.generation.any_answer import FILES, AnyAnswer
from worker.edge.task import job_task
from worker.jobs.job import Step
from worker.jobs.raw_arguments import RawArguments
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult


class Run(BaseRequest):
    """Run an endpoint with `arguments` by its own names. They are sent as they are; only files in them are brought.

    `model` is the endpoint's id, or a name of the catalogue for its endpoint at fal. `mode`: through fal's queue; or
    with the answer in the call, at once (`direct`) or with parts of it before (`stream`).
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    mode: Literal["queue", "direct", "stream"] = "queue"
    arguments: RawArguments = Field(default_factory=dict)

    follows: ClassVar[Mapping[str, str]] = {}


class AnyResult(JobResult):
    """The result: every file of the answer, the same files by what they are, and the answer with our URLs in it.

    `answer_url` is the file of an answer of more than 256 kB; then `answer` is null.
    """

    files: list[FileOut]
    images: list[FileOut]
    video: FileOut | None
    audio: FileOut | None
    weights: FileOut | None
    answer: dict[str, JsonValue] | None
    answer_url: str | None


@job_task("generation.run", queue="generation", asks=Run, gives=AnyResult, check=AnyAnswer())
def run(request: Run, model: Model) -> Step:
    """Run any endpoint of fal, and take any answer."""
    arguments: dict[str, Any] = dict(request.arguments)
    return Step(in_mode(model, request.mode), arguments, (FILES,), request.extra)


def in_mode(model: Model, mode: str) -> str:
    """The name of the model for a step that is called so."""
    return model.name if mode == "queue" else f"{mode}:{model.name}"
