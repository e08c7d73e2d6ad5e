"""The background of a picture: removed, or replaced."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, NegativePrompt, OutputFormat, Prompt, Seed, picture_arguments
from worker.jobs.request import BaseRequest

MOST_MEGAPIXELS = 100


class RemoveBackground(BaseRequest):
    """What a picture shows, on a transparent background.

    `crop`: cut to the visible part. `variant`: what BiRefNet was trained for. `resolution`: that of its mask.
    """

    model: ModelName = "rembg"
    image: Image
    crop: bool | None = None
    variant: (
        Literal[
            "General Use (Light)", "General Use (Light 2K)", "General Use (Heavy)", "General Use (Dynamic)",
            "Matting", "Portrait",
        ]
        | None
    ) = None  # fmt: skip
    resolution: Literal["1024x1024", "2048x2048", "2304x2304"] | None = None
    output_format: Literal["png", "webp", "gif"] | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


@job_task("editing.remove_background", queue="editing", asks=RemoveBackground, gives=Edited)
def remove_background(request: RemoveBackground, model: Model) -> Step:
    """Cut out what a picture shows. The result has an alpha channel."""
    arguments = request.as_arguments()
    cutout = Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS, transparent=not model.passthrough)
    return Step(model.name, arguments, (cutout,), request.extra)


class ReplaceBackground(BaseRequest):
    """What a picture shows, in front of another background: by `prompt`, or like that of a `reference` picture."""

    model: ModelName = "bria-replace-background"
    image: Image
    prompt: Prompt | None = None
    reference: Image | None = None
    negative_prompt: NegativePrompt | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: Seed | None = None
    output_format: OutputFormat | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}

    @model_validator(mode="after")
    def _has_one_background(self) -> "ReplaceBackground":
        if (self.prompt is None) == (self.reference is None):
            raise ValueError("prompt: exactly one of prompt and reference must be given")
        if self.reference == self.image:
            raise ValueError("reference: is the same file as image")
        return self


@job_task("editing.replace_background", queue="editing", asks=ReplaceBackground, gives=Edited)
def replace_background(request: ReplaceBackground, model: Model) -> Step:
    """Put what a picture shows in front of another background."""
    arguments = picture_arguments(request, model, request.num_images)
    pictures = Piece("images", "image", "images.*", count=request.num_images, most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (pictures,), request.extra)
