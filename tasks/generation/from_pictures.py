"""Pictures from pictures and a prompt: redrawn, edited by words, or after references."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from config.catalogue import Model
from tasks.generation.requests import PictureRequest, pictures_step
from tasks.generation.results import Pictures
from worker.edge.task import job_task
from worker.jobs.file_refs import Images
from worker.jobs.job import Step
from worker.jobs.picture_fields import ModelName


class ImageToImage(PictureRequest):
    """Pictures from one or more pictures, in the order in which the prompt counts them; a single one needs no list.

    `strength`: how far a model that redraws may leave the picture, from 0.01 to 1. Models that edit by words have none.
    """

    model: ModelName = "flux-dev-image-to-image"
    images: Annotated[Images, Field(min_length=1, max_length=14)]
    strength: float | None = Field(None, ge=0.01, le=1)

    follows: ClassVar[Mapping[str, str]] = {**PictureRequest.follows, "images": "images.0.url"}
    model_with_loras: ClassVar[str] = "flux-lora-image-to-image"


@job_task("generation.image_to_image", queue="generation", asks=ImageToImage, gives=Pictures)
def image_to_image(request: ImageToImage, model: Model) -> Step:
    """Make one to four pictures from pictures and a prompt, with up to four LoRAs."""
    return pictures_step(request, model)
