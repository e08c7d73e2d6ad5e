"""The background of a picture: removed."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName
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
    arguments = request.model_dump(mode="json", exclude_none=True, exclude={"model", "extra"})
    cutout = Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS, transparent=not model.passthrough)
    return Step(model.name, arguments, (cutout,), request.extra)
