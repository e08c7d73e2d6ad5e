"""LoRAs from a data set."""

from typing import Annotated

from pydantic import Field, StringConstraints

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.file_refs import Archive
from worker.jobs.job import Piece, Step
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult


class TrainLora(BaseRequest):
    """A LoRA of a subject, a product or, with `is_style`, a style. The archive is a zip of pictures, four or more."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)] = "flux-lora-training"
    images_data_url: Archive
    trigger_word: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)] | None = None
    steps: int | None = Field(None, ge=1, le=10_000)
    is_style: bool | None = None


class Weights(JobResult):
    """The result of a training. Key or URL of the weights can be given to the next generation as `lora_url`."""

    weights: FileOut
    config: FileOut


@job_task("training.lora", queue="training", asks=TrainLora, gives=Weights)
def lora(request: TrainLora, model: Model) -> Step:
    """Train a LoRA on a zip of pictures."""
    arguments = request.model_dump(mode="json", exclude_none=True, exclude={"model", "extra"})
    weights = Piece("weights", "weights", "diffusers_lora_file")
    settings = Piece("config", "json", "config_file")
    return Step(model.name, arguments, (weights, settings), request.extra)
