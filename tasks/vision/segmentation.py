"""Masks of what a picture shows, by words, points or boxes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.catalogue import Model
from tasks.editing.compositing import Overlay
from tasks.vision.pictures import UprightPicture
from tasks.vision.places import Facts, FoundObject, object_around, size_in
from worker.edge.pipeline import Pipeline
from worker.edge.task import job_task
from worker.errors import RequestRefusedError
from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.answers import AnswerFaults
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, Prompt
from worker.jobs.request import BaseRequest
from worker.jobs.status import VALUES, FileOut, JobResult

MOST_MASKS = 32
MOST_MEGAPIXELS = 100


class _Place(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PointPrompt(_Place):
    """A point in pixels of the upright picture: on the object (`label` 1) or beside it (0).

    Points with the same `object_id` belong to the same object.
    """

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    label: Literal[0, 1] = 1
    object_id: int = Field(1, ge=0)


class BoxPrompt(_Place):
    """A box in pixels of the upright picture, as detections have it.

    Each box is an object, unless several have the same `object_id`.
    """

    x_min: int = Field(ge=0)
    y_min: int = Field(ge=0)
    x_max: int = Field(ge=1)
    y_max: int = Field(ge=1)
    object_id: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _is_not_empty(self) -> "BoxPrompt":
        if self.x_min >= self.x_max or self.y_min >= self.y_max:
            raise ValueError("x_min must be less than x_max, and y_min less than y_max")
        return self


class Segment(BaseRequest):
    """Masks of what `prompt` names, or of what points and boxes show.

    With `max_masks` 1 there is one mask of all that was found; with more, a mask for each object. `overlay`: also the
    picture with the masks drawn on it, as a second step that is free.
    """

    model: ModelName = "sam-3"
    image: Image
    prompt: Prompt | None = None
    points: list[PointPrompt] = Field([], max_length=100)
    boxes: list[BoxPrompt] = Field([], max_length=100)
    max_masks: int = Field(1, ge=1, le=MOST_MASKS)
    overlay: bool = False

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url", "boxes": "objects.*.box"}

    @model_validator(mode="after")
    def _says_what(self) -> "Segment":
        if not (self.prompt or self.points or self.boxes):
            raise ValueError("prompt, points or boxes: one of them must say what to segment")
        return self

    @property
    def has_steps(self) -> bool:
        """The overlay is drawn in a second step: SAM's own is drawn into the mask."""
        return self.overlay


class Segmented(JobResult):
    """The result: `masks` are white where the object is, in the size of the upright picture; `objects` in their order.

    Both are empty if nothing was found.
    """

    masks: list[FileOut]
    objects: list[FoundObject | None]
    width: int | None
    height: int | None
    overlay: FileOut | None = None


class SegmentCheck(UprightPicture):
    """Checks that points and boxes are inside the picture, and promises masks of its size."""

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """Raises `RequestRefusedError` for a point or a box outside the picture."""
        prepared = super().prepare(request, step, files)
        width, height = prepared.step.facts["width"], prepared.step.facts["height"]
        for name in ("points", "boxes"):
            for n, place in enumerate(step.arguments.get(name, ())):
                _refuse_outside(f"{name}.{n}", place, width, height)
        pieces = tuple(replace(piece, width=width, height=height) for piece in step.pieces)
        return Prepared(replace(prepared.step, pieces=pieces), prepared.changed)


class MaskCheck:
    """Reads the scores and boxes of the masks. See `worker.jobs.answers.AnswerCheck`.

    An answer without them is good: the endpoint gives them "when available", and a webhook's payload lacks them.
    """

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Facts
    ) -> dict[str, Any] | AnswerFaults:
        """The masks, with an object for each; null for a mask without a box."""
        masks = output.get("masks", [])
        if not isinstance(masks, list):
            return AnswerFaults(("masks is not a list",))
        masks = masks[: request.get("max_masks", 1)]
        try:
            objects = [_object(output, n, facts) for n in range(len(masks))]
        except ValueError as error:
            return AnswerFaults((str(error),))
        found = [each.model_dump() if each else None for each in objects]
        return {"masks": masks, VALUES: {"objects": found, **size_in(facts)}}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same call again."""
        return dict(arguments)


async def segment_and_draw(request: Segment, job: Pipeline) -> Mapping[str, Any]:
    """Make the masks, then draw them on the picture."""
    asked = request.model_dump(exclude={"overlay"}, exclude_unset=True)
    found: Segmented = await job.step("segment", Segment(**asked))
    drawn = await job.step("draw", Overlay(image=request.image, masks=[mask.key for mask in found.masks]))
    values = {name: getattr(found, name) for name in ("masks", "objects", "width", "height")}
    return {**values, "overlay": drawn.images[0]}


@job_task(
    "vision.segment",
    queue="vision",
    asks=Segment,
    gives=Segmented,
    check=MaskCheck(),
    files=SegmentCheck(),
    steps=segment_and_draw,
    promises=(Piece("masks", "image", "masks.*", fewest=0), Piece("overlay", "image", "overlay")),
)
def segment(request: Segment, model: Model) -> Step:
    """Make a mask of what words, points or boxes say.

    The prompt is sent empty with points or boxes: SAM's default is "wheel".
    """
    arguments: dict[str, Any] = {"image": request.image, "prompt": request.prompt or ""}
    for name in ("points", "boxes"):
        if places := getattr(request, name):
            arguments[name] = [place.model_dump(mode="json", exclude_none=True) for place in places]
    if request.max_masks > 1:
        arguments |= {"max_masks": request.max_masks, "several": True}
    masks = Piece("masks", "image", "masks.*", count=request.max_masks, fewest=0, most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (masks,), request.extra)


def _object(output: Mapping[str, Any], n: int, facts: Facts) -> FoundObject | None:
    boxes, scores = output.get("boxes"), output.get("scores")
    if not isinstance(boxes, list) or n >= len(boxes):
        return None
    return object_around(boxes[n], facts, scores[n] if isinstance(scores, list) and n < len(scores) else None)


def _refuse_outside(field: str, place: Mapping[str, Any], width: int, height: int) -> None:
    for edge, most in {"x": width - 1, "y": height - 1, "x_max": width, "y_max": height}.items():
        if place.get(edge, 0) > most:
            raise RequestRefusedError(
                f"{field}.{edge}: is {place[edge]}; the upright picture has {width}x{height} pixels", kind="outside"
            )
