"""Work on pictures that needs no model: masks grown and drawn, parts cut out, pictures blended, contact sheets.

The worker does it itself and for free, mostly as a step of a pipeline. Results are PNG. There is no fallback: no
provider does the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image, Images, Mask
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName
from worker.jobs.request import BaseRequest

MOST_MEGAPIXELS = 100
_PICTURE = Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS)


class Box(BaseModel):
    """A part of an upright picture, in pixels, as detections have it; the last column and row are outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x_min: int = Field(ge=0)
    y_min: int = Field(ge=0)
    x_max: int = Field(ge=1)
    y_max: int = Field(ge=1)

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Box":
        if self.x_min >= self.x_max or self.y_min >= self.y_max:
            raise ValueError("x_min must be less than x_max, and y_min less than y_max")
        return self


class GrowMask(BaseRequest):
    """A mask whose white part is grown by `by` pixels, with an edge that fades over `feather` more."""

    model: ModelName = "grow-mask"
    mask: Mask
    by: int = Field(8, ge=0, le=1024)
    feather: int = Field(0, ge=0, le=1024)

    follows: ClassVar[Mapping[str, str]] = {"mask": "masks.0.url"}


class Cut(BaseRequest):
    """A part of a picture."""

    model: ModelName = "cut"
    image: Image
    box: Box

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class Blend(BaseRequest):
    """`over` put onto `base` where the mask is white, or into the box, or both. Elsewhere `base` stays as it is.

    Without a mask, the edge of the box fades inwards over `feather` pixels.
    """

    model: ModelName = "blend"
    base: Image
    over: Image
    mask: Mask | None = None
    box: Box | None = None
    feather: int | None = Field(None, ge=0, le=1024)

    follows: ClassVar[Mapping[str, str]] = {"over": "images.0.url"}

    @model_validator(mode="after")
    def _has_a_place(self) -> "Blend":
        if self.mask is None and self.box is None:
            raise ValueError("mask or box is required: without one nothing of base would be left")
        return self


class ContactSheet(BaseRequest):
    """Up to 64 pictures side by side."""

    model: ModelName = "contact-sheet"
    images: Annotated[Images, Field(min_length=1, max_length=64)]
    columns: int = Field(4, ge=1, le=16)


class Overlay(BaseRequest):
    """A picture with masks drawn on it, each in a colour of its own."""

    model: ModelName = "overlay"
    image: Image
    masks: list[Mask] = Field([], max_length=32)

    follows: ClassVar[Mapping[str, str]] = {"masks": "masks.*.url"}


class Difference(BaseModel):
    """How much pixels differ, 0 to 1: on average, and at most."""

    mean: float
    most: float


class OutsideMask(BaseModel):
    """What changed where the mask is black: in the edit as its model made it, and in the result."""

    of_edit: Difference
    of_result: Difference


class Blended(Edited):
    """The result of a blend, with the measured difference outside the mask."""

    outside_mask: OutsideMask


@job_task("editing.grow_mask", queue="editing", asks=GrowMask, gives=Edited)
def grow_mask(request: GrowMask, model: Model) -> Step:
    """Grow and feather a mask."""
    return _step(request, model)


@job_task("editing.cut", queue="editing", asks=Cut, gives=Edited)
def cut(request: Cut, model: Model) -> Step:
    """Cut a part out of a picture."""
    return _step(request, model)


@job_task("editing.blend", queue="editing", asks=Blend, gives=Blended)
def blend(request: Blend, model: Model) -> Step:
    """Put one picture onto another, and measure that nothing else has changed."""
    return _step(request, model)


@job_task("editing.contact_sheet", queue="editing", asks=ContactSheet, gives=Edited)
def contact_sheet(request: ContactSheet, model: Model) -> Step:
    """Show pictures side by side."""
    return _step(request, model)


@job_task("editing.overlay", queue="editing", asks=Overlay, gives=Edited)
def overlay(request: Overlay, model: Model) -> Step:
    """Draw masks on their picture."""
    return _step(request, model)


def _step(request: BaseRequest, model: Model) -> Step:
    arguments: dict[str, Any] = request.as_arguments()
    return Step(model.name, arguments, (_PICTURE,), request.extra)
