"""A LoRA, and pictures made with it: a contact sheet shows whether the training went well."""

from asyncio import gather
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from tasks.editing.compositing import ContactSheet
from tasks.generation import TextToImage, text_to_image
from tasks.pipelines.step_checks import SOME_WEIGHTS, Calls, step_problems, sum_problems
from tasks.training import TrainLora, lora
from tasks.training.requests import TrainingRequest
from tasks.training.results import CaptionedImage
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.jobs.job import Piece
from worker.jobs.picture_fields import ModelName, Prompt, Seed, Weight
from worker.jobs.request import JobOptions
from worker.jobs.status import FileOut, JobResult

PROMISES = (
    Piece("weights", "weights", "weights"),
    Piece("config", "json", "config"),
    Piece("sheet", "image", "sheet"),
    Piece("images", "image", "images.*"),
)


class TrainLoraWithSamples(TrainingRequest):
    """A training as training.lora takes it, then a picture for each of `sample_prompts`.

    `sample_model` is a model of generation.text_to_image that takes LoRAs. All samples have the same seed, if one is
    given.
    """

    model: ModelName | None = None
    sample_prompts: Annotated[list[Prompt], Field(min_length=1, max_length=16)]
    sample_model: ModelName = "flux-lora"
    sample_seed: Seed | None = None
    lora_scale: Weight | None = None


class LoraWithSamples(JobResult):
    """The weights with their config, the samples in the order of their prompts, and all of them on one sheet.

    `captions` are those of a data set that the worker packed, as in training.lora.
    """

    weights: FileOut
    config: FileOut
    images: list[FileOut]
    sheet: FileOut
    captions: list[CaptionedImage] = Field(default_factory=list)


def _training(request: TrainLoraWithSamples) -> dict[str, Any]:
    """The parameters of the training."""
    return request.model_dump(include=set(TrainLora.model_fields), exclude_none=True, exclude_unset=True)


def _sampling(request: TrainLoraWithSamples, weights: str) -> dict[str, Any]:
    """The parameters that all samples have."""
    drawing = {"model": request.sample_model, "seed": request.sample_seed}
    return {**drawing, "lora_url": weights, "lora_scale": request.lora_scale}


def sample_problems(request: TrainLoraWithSamples, options: JobOptions) -> list[tuple[str, str]]:
    """What the training or a sample would refuse, by field."""
    found = step_problems(lora, _training(request), options)
    shared = _sampling(request, SOME_WEIGHTS)
    for n, prompt in enumerate(request.sample_prompts):
        names = {"prompt": f"sample_prompts.{n}", "model": "sample_model", "seed": "sample_seed"}
        names["loras"] = "sample_model"  # it is refused if it takes no LoRAs
        found += step_problems(text_to_image, {**shared, "prompt": prompt}, options, names)
    return list(dict.fromkeys(found)) or sum_problems(_calls(request), options)


def _calls(request: TrainLoraWithSamples) -> Calls:
    """The training, and a call for each sample."""
    shared = _sampling(request, SOME_WEIGHTS)
    samples = [(text_to_image, {**shared, "prompt": prompt}) for prompt in request.sample_prompts]
    return [(lora, _training(request)), *samples]


@pipeline_task(
    "training.lora_with_samples",
    queue="training",
    asks=TrainLoraWithSamples,
    gives=LoraWithSamples,
    promises=PROMISES,
    check=sample_problems,
    calls=_calls,
)
async def lora_with_samples(request: TrainLoraWithSamples, job: Pipeline) -> Mapping[str, Any]:
    """Train, then draw the samples at the same time, then lay them out."""
    trained = await job.step("train", TrainLora(**_training(request)))
    asked = _sampling(request, trained.weights.key)
    prompts = enumerate(request.sample_prompts, 1)
    drawn = await gather(*(job.step(f"sample-{n}", TextToImage(prompt=prompt, **asked)) for n, prompt in prompts))
    images = [each.images[0] for each in drawn]
    columns = min(4, len(images))
    sheet = await job.step("sheet", ContactSheet(images=[image.key for image in images], columns=columns))
    files = {"weights": trained.weights, "config": trained.config, "images": images, "sheet": sheet.images[0]}
    return {**files, "captions": trained.captions}
