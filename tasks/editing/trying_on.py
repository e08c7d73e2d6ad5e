"""A garment, worn by a person."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import MOST_MEGAPIXELS, ModelName, Seed, picture_arguments
from worker.jobs.request import BaseRequest


class TryOn(BaseRequest):
    """A person and a garment. `category`: which part of the garment's picture is worn; without it the model decides.

    `garment_photo`: whether a person wears the garment in its picture, or it lies flat.
    """

    model: ModelName = "fashn-v1.6"
    person: Image
    garment: Image
    category: Literal["tops", "bottoms", "one-pieces"] | None = None
    garment_photo: Literal["model", "flat-lay"] | None = None
    quality: Literal["performance", "balanced", "quality"] | None = None
    keep_pose: bool | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: Seed | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=35)
    output_format: Literal["png", "jpeg"] | None = None

    follows: ClassVar[Mapping[str, str]] = {"person": "images.0.url"}

    @model_validator(mode="after")
    def _has_two_pictures(self) -> "TryOn":
        if self.person == self.garment:
            raise ValueError("garment: is the same file as person")
        return self


@job_task("editing.try_on", queue="editing", asks=TryOn, gives=Edited)
def try_on(request: TryOn, model: Model) -> Step:
    """Put a garment on a person."""
    arguments = picture_arguments(request, model, request.num_images)
    worn = Piece("images", "image", "images.*", count=request.num_images, most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (worn,), request.extra)
