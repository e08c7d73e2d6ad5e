"""A LoRA, and pictures made with it: a contact sheet shows whether the training went well."""

from asyncio import gather
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tasks.editing.compositing import ContactSheet
from tasks.generation import TextToImage
from tasks.training import TrainLora
from tasks.training.requests import Captions, TrainingImages, TriggerWord, check_data_set, with_numbers_as_names
from tasks.training.results import CaptionedImage
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.jobs.file_refs import Archive
from worker.jobs.job import Piece
from worker.jobs.picture_fields import ModelName, Prompt, Role, Seed, Weight
from worker.jobs.request import TaskRequest
from worker.jobs.status import FileOut, JobResult

PROMISES = (
    Piece("weights", "weights", "weights"),
    Piece("config", "json", "config"),
    Piece("sheet", "image", "sheet"),
    Piece("images", "image", "images.*"),
)


class TrainLoraWithSamples(TaskRequest):
    """A training as training.lora takes it, then a picture for each of `sample_prompts`.

    `sample_model` is a model of generation.text_to_image that takes LoRAs. All samples have the same seed, if one is
    given.
    """

    images_data_url: Archive | None = None
    images: TrainingImages | None = None
    captions: Captions | None = None
    prepare: bool = False
    model: ModelName | None = None
    role: Role | None = None
    trigger_word: TriggerWord | None = None
    steps: int | None = Field(None, ge=1, le=10_000)
    is_style: bool | None = None
    create_masks: bool | None = None
    learning_rate: float | None = Field(None, gt=0, le=0.01)
    training_type: Literal["content", "style", "balanced"] | None = None
    sample_prompts: Annotated[list[Prompt], Field(min_length=1, max_length=16)]
    sample_model: ModelName = "flux-lora"
    sample_seed: Seed | None = None
    lora_scale: Weight | None = None

    @field_validator("captions", mode="before")
    @classmethod
    def _numbers_are_names(cls, given: Any) -> Any:
        return with_numbers_as_names(given)

    @model_validator(mode="after")
    def _has_one_data_set(self) -> "TrainLoraWithSamples":
        check_data_set(self.images_data_url, self.images, self.captions)
        return self


class LoraWithSamples(JobResult):
    """The weights with their config, the samples in the order of their prompts, and all of them on one sheet.

    `captions` are those of a data set that the worker packed, as in training.lora.
    """

    weights: FileOut
    config: FileOut
    images: list[FileOut]
    sheet: FileOut
    captions: list[CaptionedImage] = Field(default_factory=list)


@pipeline_task(
    "training.lora_with_samples", queue="training", asks=TrainLoraWithSamples, gives=LoraWithSamples, promises=PROMISES
)
async def lora_with_samples(request: TrainLoraWithSamples, job: Pipeline) -> Mapping[str, Any]:
    """Train, then draw the samples at the same time, then lay them out."""
    given = request.model_dump(include=set(TrainLora.model_fields), exclude_none=True, exclude_unset=True)
    trained = await job.step("train", TrainLora(**given))
    lora = {"lora_url": trained.weights.key, "lora_scale": request.lora_scale}
    asked = {"model": request.sample_model, "seed": request.sample_seed, **lora}
    prompts = enumerate(request.sample_prompts, 1)
    drawn = await gather(*(job.step(f"sample-{n}", TextToImage(prompt=prompt, **asked)) for n, prompt in prompts))
    images = [each.images[0] for each in drawn]
    columns = min(4, len(images))
    sheet = await job.step("sheet", ContactSheet(images=[image.key for image in images], columns=columns))
    files = {"weights": trained.weights, "config": trained.config, "images": images, "sheet": sheet.images[0]}
    return {**files, "captions": trained.captions}
