"""Workflows of fal: any by its name with its own inputs, and those of the catalogue with inputs that are checked."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from config.catalogue import Model
from tasks.generation.any_answer import FILES, AnyAnswer
from tasks.generation.running import AnyResult, in_mode
from worker.edge.task import job_task
from worker.jobs.file_arguments import recorded_files
from worker.jobs.file_refs import Image, Images, Mask
from worker.jobs.job import Step
from worker.jobs.picture_fields import (
    MOST_LORAS,
    Lora,
    OutputFormat,
    Preset,
    Prompt,
    Seed,
    Size,
    check_loras,
    lora_arguments,
)
from worker.jobs.raw_arguments import RawArguments
from worker.jobs.request import BaseRequest, read_inside, refusal

TASK = "generation.workflow"


class Workflow(BaseRequest):
    """Run a workflow with its `inputs`.

    `model` is `workflows/owner/name`, or a name of the catalogue. `image` is the input of that name, or `image_url` of
    a workflow that the catalogue does not know; it takes the picture of a job before it in a chain. `mode`
    stream: its nodes are seen one by one.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    mode: Literal["queue", "stream"] = "queue"
    inputs: RawArguments = Field(default_factory=dict)
    image: Image | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class _Inputs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: Prompt
    image: Image
    loras: list[Lora] = Field([], max_length=MOST_LORAS)
    strength: float | None = None
    seed: Seed | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None


class PictureInputs(_Inputs):
    """The inputs of `flux-krea-lora-i2i`."""

    image_size: Preset | Size | None = None
    num_images: int | None = None
    output_format: OutputFormat | None = None


class EditingInputs(_Inputs):
    """The inputs of `editing-workflow`."""

    mask: Mask | None = None
    references: Images | None = None


TYPED: Mapping[str, type[_Inputs]] = {"flux-krea-lora-i2i": PictureInputs, "editing-workflow": EditingInputs}


@job_task(TASK, queue="generation", asks=Workflow, gives=AnyResult, check=AnyAnswer())
def workflow(request: Workflow, model: Model) -> Step:
    """Run a workflow of fal, and take any answer."""
    asks = TYPED.get(model.name)
    image = {"image" if asks else "image_url": request.image} if request.image else {}
    given: dict[str, Any] = {**image, **request.inputs}
    if asks is None:
        return Step(in_mode(model, request.mode), given, (FILES,), request.extra)
    inputs = _checked(asks, model, given)
    arguments = inputs.model_dump(mode="json", exclude_none=True, exclude={"loras"})
    if inputs.loras:
        arguments["loras"] = lora_arguments(inputs.loras)
    return Step(in_mode(model, request.mode), arguments, (FILES,), request.extra, recorded_files(inputs, arguments))


def _checked(asks: type[_Inputs], model: Model, given: Mapping[str, Any]) -> _Inputs:
    """The inputs. Raises `InvalidRequestError`, which names each input and what it allows."""
    inputs = read_inside(TASK, "inputs", asks, given)
    problems = [
        (f"inputs.{name}", limit.problem(getattr(inputs, name)))
        for name, limit in model.limits.items()
        if getattr(inputs, name, None) is not None
    ]
    try:
        check_loras(inputs.loras, None, None)
    except ValueError as error:
        problems.append(("inputs.loras", str(error).removeprefix("loras: ")))
    if found := [(field, f"{problem} ({model.name})") for field, problem in problems if problem]:
        raise refusal(TASK, found)
    return inputs
