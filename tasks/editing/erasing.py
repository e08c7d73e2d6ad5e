"""A part of a picture, removed."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import model_validator

from config.catalogue import Model
from tasks.editing.masks import MaskCheck, check_apart
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image, Mask
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import MOST_MEGAPIXELS, ModelName, Paints
from worker.jobs.request import BaseRequest


class Erase(BaseRequest):
    """A picture and a mask of the same size. `paints`: the part of the mask that is erased, by default the white one.

    `mask_source`: whether a person drew the mask (manual) or a model such as SAM made it (automatic). `keep_alpha`: the
    picture's transparency stays.
    """

    model: ModelName = "bria-eraser"
    image: Image
    mask: Mask
    paints: Paints | None = None
    mask_source: Literal["manual", "automatic"] | None = None
    keep_alpha: bool | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url", "mask": "masks.0.url"}

    @model_validator(mode="after")
    def _fits(self) -> "Erase":
        check_apart(self.image, self.mask)
        return self


@job_task("editing.erase", queue="editing", asks=Erase, gives=Edited, files=MaskCheck())
def erase(request: Erase, model: Model) -> Step:
    """Remove what the mask covers, and continue the background there."""
    arguments = request.as_arguments("paints")
    return Step(
        model.name, arguments, (Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS),), request.extra
    )
