"""Where things are in a picture: boxes around objects and faces, and points on them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from config.catalogue import Model
from tasks.vision.pictures import UprightPicture
from tasks.vision.places import MOST, Facts, FoundObject, FoundPoint, object_around, object_at, point_at, size_in
from worker.edge.task import job_task
from worker.jobs.answers import AnswerFaults
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, Prompt
from worker.jobs.request import BaseRequest
from worker.jobs.status import VALUES, FileOut, JobResult

MOST_MEGAPIXELS = 100  # of an overlay: it has the size of the picture
FACE = "face"


class _Look(BaseRequest):
    """`overlay`: also a copy of the picture with the places drawn on it."""

    image: Image
    overlay: bool = False

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class Detect(_Look):
    """Boxes around every object that `prompt` names, such as "coat"."""

    model: ModelName = "moondream3-detect"
    prompt: Prompt


class DetectFaces(_Look):
    """Boxes around every face."""

    model: ModelName = "moondream3-detect"


class PointAt(_Look):
    """A point on every object that `prompt` names."""

    model: ModelName = "moondream3-point"
    prompt: Prompt


class Detected(JobResult):
    """The result of a detection. `objects` is empty if none is seen. `width`, `height`: the upright picture."""

    objects: list[FoundObject]
    width: int | None
    height: int | None
    overlay: FileOut | None = None


class Pointed(JobResult):
    """The result of a pointing, as that of a detection."""

    points: list[FoundPoint]
    width: int | None
    height: int | None
    overlay: FileOut | None = None


class DetectionCheck:
    """Reads boxes. See `worker.jobs.answers.AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Facts
    ) -> dict[str, Any] | AnswerFaults:
        """The objects, in pixels and normalised."""
        try:
            found = _objects(output, facts)
        except ValueError as error:
            return AnswerFaults((str(error),))
        return _answer(output, {"objects": [each.model_dump() for each in found], **size_in(facts)})

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same call again."""
        return dict(arguments)


class PointCheck:
    """Reads points. See `worker.jobs.answers.AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Facts
    ) -> dict[str, Any] | AnswerFaults:
        """The points, in pixels and normalised."""
        try:
            found = [point_at(place, facts) for place in _list(output, "points")]
        except ValueError as error:
            return AnswerFaults((str(error),))
        return _answer(output, {"points": [each.model_dump() for each in found], **size_in(facts)})

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same call again."""
        return dict(arguments)


@job_task("vision.detect", queue="vision", asks=Detect, gives=Detected, check=DetectionCheck(), files=UprightPicture())
def detect(request: Detect, model: Model) -> Step:
    """Find every object of a kind in a picture."""
    return _step(request, model, {"prompt": request.prompt})


@job_task(
    "vision.detect_faces",
    queue="vision",
    asks=DetectFaces,
    gives=Detected,
    check=DetectionCheck(),
    files=UprightPicture(),
)
def detect_faces(request: DetectFaces, model: Model) -> Step:
    """Find every face in a picture."""
    return _step(request, model, {"prompt": FACE})


@job_task("vision.point", queue="vision", asks=PointAt, gives=Pointed, check=PointCheck(), files=UprightPicture())
def point(request: PointAt, model: Model) -> Step:
    """Point at every object of a kind in a picture."""
    return _step(request, model, {"prompt": request.prompt})


def _step(request: _Look, model: Model, arguments: Mapping[str, Any]) -> Step:
    overlay = (Piece("overlay", "image", "image", most_megapixels=MOST_MEGAPIXELS),) if request.overlay else ()
    more = {"overlay": True} if request.overlay else {}
    return Step(model.name, {"image": request.image, **arguments, **more}, overlay, request.extra)


def _objects(output: Mapping[str, Any], facts: Facts) -> list[FoundObject]:
    """Those of Moondream, or of SAM, which serves as its fallback and has boxes around centres."""
    if "objects" in output:
        return [object_at(edges, facts) for edges in _list(output, "objects")]
    boxes, scores = _list(output, "boxes"), output.get("scores") or []
    return [object_around(box, facts, _at(scores, n)) for n, box in enumerate(boxes)]


def _list(output: Mapping[str, Any], name: str) -> list[Any]:
    places = output.get(name)
    if not isinstance(places, list):
        raise ValueError(f"{name} is not a list")  # noqa: TRY004 - as all that is wrong with an answer
    if len(places) > MOST:
        raise ValueError(f"{name} has {len(places)} entries; at most {MOST} are kept")
    return places


def _at(values: Any, n: int) -> Any:
    return values[n] if isinstance(values, list) and n < len(values) else None


def _answer(output: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    overlay = {"image": output["image"]} if "image" in output else {}
    return {**overlay, VALUES: values}
