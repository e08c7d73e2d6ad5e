"""Pictures from pictures and a prompt: redrawn, edited by words, or after references."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from config.catalogue import Model
from tasks.generation.results import Pictures
from worker.edge.task import job_task
from worker.jobs.file_refs import Images, Weights
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import (
    MOST_LORAS,
    MOST_MEGAPIXELS,
    Lora,
    ModelName,
    NegativePrompt,
    OutputFormat,
    Preset,
    Prompt,
    Seed,
    Size,
    Weight,
    check_loras,
    is_count_sent,
    joined_loras,
    lora_arguments,
    pixels,
)
from worker.jobs.request import BaseRequest


class ImageToImage(BaseRequest):
    """Pictures from one or more pictures, in the order in which the prompt counts them; a single one needs no list.

    `strength`: how far a model that redraws may leave the picture, from 0.01 to 1. Models that edit by words have none.
    """

    model: ModelName = "flux-dev-image-to-image"
    images: Annotated[Images, Field(min_length=1, max_length=14)]
    prompt: Prompt
    negative_prompt: NegativePrompt | None = None
    strength: float | None = Field(None, ge=0.01, le=1)
    image_size: Preset | Size | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: Seed | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=35)
    output_format: OutputFormat | None = None
    enable_safety_checker: bool | None = None
    loras: list[Lora] = Field([], max_length=MOST_LORAS)
    lora_url: Weights | None = None
    lora_scale: Weight | None = None

    follows: ClassVar[Mapping[str, str]] = {"images": "images.0.url", "lora_url": "weights.url"}

    @model_validator(mode="before")
    @classmethod
    def _a_lora_needs_a_model_that_takes_it(cls, given: Any) -> Any:
        """With LoRAs and no model, the model is flux-lora-image-to-image: the default model takes no LoRAs."""
        if isinstance(given, dict) and "model" not in given and (given.get("loras") or given.get("lora_url")):
            return {**given, "model": "flux-lora-image-to-image"}
        return given

    @model_validator(mode="after")
    def _loras_fit(self) -> "ImageToImage":
        check_loras(self.loras, self.lora_url, self.lora_scale)
        return self


@job_task("generation.image_to_image", queue="generation", asks=ImageToImage, gives=Pictures)
def image_to_image(request: ImageToImage, model: Model) -> Step:
    """Make one to four pictures from pictures and a prompt, with up to four LoRAs."""
    own = {"model", "extra", "loras", "lora_url", "lora_scale", "num_images"}
    arguments = request.model_dump(mode="json", exclude_none=True, exclude=own)
    if loras := joined_loras(request.loras, request.lora_url, request.lora_scale):
        arguments["loras"] = lora_arguments(loras)
    if is_count_sent(model, request.model_fields_set, request.num_images):
        arguments["num_images"] = request.num_images
    width, height = pixels(request.image_size)
    most = None if model.passthrough or width else MOST_MEGAPIXELS
    pictures = Piece(
        "images", "image", "images.*", count=request.num_images, width=width, height=height, most_megapixels=most
    )
    return Step(model.name, arguments, (pictures,), request.extra)
