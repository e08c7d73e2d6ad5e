"""A picture on a larger canvas, continued beyond its edges."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.canvas import is_settled
from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.errors import RequestRefusedError
from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, NegativePrompt, OutputFormat, Prompt, Seed, Size
from worker.jobs.request import BaseRequest, refusal

MOST_MEGAPIXELS = 100
Position = Literal["center", "left", "right", "top", "bottom"]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9]\d?:[1-9]\d?$")]
_WAYS = "exactly one of canvas, ratio and sides"


class Sides(BaseModel):
    """Pixels that are added to each side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    left: int = Field(0, ge=0, le=10_000)
    right: int = Field(0, ge=0, le=10_000)
    top: int = Field(0, ge=0, le=10_000)
    bottom: int = Field(0, ge=0, le=10_000)


class Expand(BaseRequest):
    """A picture and its canvas: `canvas` is its size, `ratio` makes the smallest that holds the picture, or `sides`.

    `position`: where the picture stands on a canvas or in a ratio.
    """

    model: ModelName = "bria-expand"
    image: Image
    canvas: Size | None = None
    ratio: Ratio | None = None
    sides: Sides | None = None
    position: Position = "center"
    prompt: Prompt | None = None
    negative_prompt: NegativePrompt | None = None
    seed: Seed | None = None
    output_format: OutputFormat | None = None
    enable_safety_checker: bool | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}

    @model_validator(mode="after")
    def _has_one_canvas(self) -> "Expand":
        if sum(way is not None for way in (self.canvas, self.ratio, self.sides)) != 1:
            raise ValueError(f"canvas: {_WAYS} must be given")
        if self.sides and not any(self.sides.model_dump().values()):
            raise ValueError("sides: one side at least must be larger than 0")
        if self.sides and self.position != "center":
            raise ValueError("position: cannot be used with sides, which say where the picture stands")
        return self

    def wanted_canvas(self) -> dict[str, Any]:
        """The canvas as it was asked for. The check completes it when it knows the size of the picture."""
        if self.canvas:
            return {**self.canvas.model_dump(), "position": self.position}
        if self.ratio:
            return {"ratio": self.ratio, "position": self.position}
        return self.sides.model_dump() if self.sides else {}


class ExpandCheck:
    """Works out the canvas from the size of the picture. See `worker.files.file_checks`."""

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The picture."""
        return ("image",)

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """The step with the whole canvas, whose size is promised. Refuses a canvas that does not hold the picture."""
        from worker.files.upright import upright_copy, upright_size  # it imports Pillow, which producers do without

        canvas = step.arguments["canvas"]
        settled = canvas if is_settled(canvas) else settled_canvas(canvas, *upright_size(files["image"]))
        wide, high = settled["width"], settled["height"]
        pieces = tuple(replace(piece, width=wide, height=high) for piece in step.pieces)
        arguments = {**step.arguments, "canvas": settled}
        return Prepared(replace(step, arguments=arguments, pieces=pieces), {"image": upright_copy(files["image"])})


def settled_canvas(wanted: Mapping[str, Any], width: int, height: int) -> dict[str, int]:
    """All numbers of the canvas for a picture of this size. Raises `RequestRefusedError`."""
    if "left" in wanted:
        left, top = int(wanted["left"]), int(wanted["top"])
        wide, high = left + width + int(wanted["right"]), top + height + int(wanted["bottom"])
    else:
        wide, high = _size(wanted, width, height)
        if wide < width or high < height:
            raise RequestRefusedError(
                f"canvas: {wide}x{high} does not hold the image; allowed: {width}x{height} or more", kind="canvas"
            )
        left, top = _place(wanted["position"], wide - width, high - height)
    if (wide, high) == (width, height):
        raise RequestRefusedError(f"canvas: the image has this size already, {width}x{height}", kind="canvas")
    numbers = {"width": wide, "height": high, "left": left, "top": top}
    return {**numbers, "picture_width": width, "picture_height": height}


def _size(wanted: Mapping[str, Any], width: int, height: int) -> tuple[int, int]:
    """The canvas as given, or the smallest one of the ratio that holds the picture."""
    if "width" in wanted:
        return int(wanted["width"]), int(wanted["height"])
    across, down = map(int, str(wanted["ratio"]).split(":"))
    return max(width, round(height * across / down)), max(height, round(width * down / across))


def _place(position: Position, free_x: int, free_y: int) -> tuple[int, int]:
    """The left and top edge of the picture."""
    left = {"left": 0, "right": free_x}.get(position, free_x // 2)
    top = {"top": 0, "bottom": free_y}.get(position, free_y // 2)
    return left, top


@job_task("editing.expand", queue="editing", asks=Expand, gives=Edited, files=ExpandCheck())
def expand(request: Expand, model: Model) -> Step:
    """Continue a picture beyond its edges."""
    if model.passthrough:
        problem = f"how {model.name} takes a canvas is not known; use a model of the catalogue"
        raise refusal("editing.expand", [("model", problem)])
    arguments = request.as_arguments("canvas", "ratio", "sides", "position")
    arguments["canvas"] = request.wanted_canvas()
    larger = Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (larger,), request.extra)
