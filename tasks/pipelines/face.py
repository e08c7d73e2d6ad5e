"""Faces in a photo are refined, each in a cut of its own, and put back into the photo."""

from asyncio import gather
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from tasks.editing.compositing import Blend, Box, Cut
from tasks.generation import ImageToImage, image_to_image
from tasks.pipelines.step_checks import A_PICTURE, Calls, all_problems
from tasks.vision.detection import DetectFaces, detect_faces
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.errors import RequestRefusedError
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece
from worker.jobs.picture_fields import ModelName, Prompt, Seed
from worker.jobs.request import JobOptions, TaskRequest
from worker.jobs.status import FileOut, JobResult

PROMISES = (Piece("images", "image", "images.*"),)
LEAST_PX = 16  # of a face; smaller ones cannot be refined


class FixFace(TaskRequest):
    """The largest `most` faces are refined as `prompt` says, by a model of generation.image_to_image.

    `strength`: how far a face may change, for models that have it. `margin`: how much of the face's size is taken
    around it. The edge of each cut fades.
    """

    image: Image
    prompt: Prompt = "a photo of the same person, sharp natural face, detailed eyes and skin"
    most: int = Field(1, ge=1, le=8)
    model: ModelName | None = None
    strength: float | None = Field(None, ge=0.01, le=1)
    margin: float = Field(0.4, ge=0, le=2)
    seed: Seed | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class FixedFaces(JobResult):
    """The photo, and the boxes that were refined, in pixels of the upright picture, largest first."""

    images: list[FileOut]
    faces: list[Box]


def face_problems(request: FixFace, options: JobOptions) -> list[tuple[str, str]]:
    """What the refinement of a face would refuse, by field."""
    return all_problems(_calls(request), options)


def _calls(request: FixFace) -> Calls:
    """The calls of a photo with one face."""
    return [(detect_faces, {"image": request.image}), (image_to_image, _refinement(request, A_PICTURE))]


@pipeline_task(
    "editing.fix_face",
    queue="editing",
    asks=FixFace,
    gives=FixedFaces,
    promises=PROMISES,
    check=face_problems,
    calls=lambda request: _calls(request) * request.most,
)
async def fix_face(request: FixFace, job: Pipeline) -> Mapping[str, Any]:
    """Find the faces, refine each, and put each back."""
    seen = await job.step("faces", DetectFaces(image=request.image))
    boxes = _boxes(seen, request)
    if not boxes:
        raise RequestRefusedError(f"image: no face of {LEAST_PX} pixels or more was found")
    refined = await gather(*(_refined(request, job, n, box) for n, box in enumerate(boxes, 1)))
    picture, images = request.image, list[FileOut]()
    for n, (box, face) in enumerate(zip(boxes, refined, strict=True), 1):
        feather = min(box.x_max - box.x_min, box.y_max - box.y_min) // 8
        blended = await job.step(f"blend-{n}", Blend(base=picture, over=face, box=box, feather=feather))
        images, picture = blended.images, blended.images[0].key
    return {"images": images, "faces": [box.model_dump() for box in boxes]}


async def _refined(request: FixFace, job: Pipeline, n: int, box: Box) -> str:
    """The key of the refined cut of a face."""
    cut = await job.step(f"cut-{n}", Cut(image=request.image, box=box))
    drawn = await job.step(f"refine-{n}", ImageToImage(**_refinement(request, cut.images[0].key)))
    return str(drawn.images[0].key)


def _refinement(request: FixFace, face: str) -> dict[str, Any]:
    """The parameters of the call that refines the cut of a face."""
    given: dict[str, Any] = {"strength": request.strength, "seed": request.seed}
    if request.model:
        given["model"] = request.model
    elif request.strength is None:
        given["strength"] = 0.35  # of the default model: the face stays the same person's
    return {"images": [face], "prompt": request.prompt, **given}


def _boxes(seen: Any, request: FixFace) -> Sequence[Box]:
    """The boxes around the largest faces, with their margin, inside the picture."""
    faces = [face.box for face in seen.objects if face.box]
    faces = [box for box in faces if min(box.x_max - box.x_min, box.y_max - box.y_min) >= LEAST_PX]
    largest = sorted(faces, key=lambda box: (box.x_min - box.x_max) * (box.y_max - box.y_min))[: request.most]
    return [_with_margin(box, request.margin, seen.width, seen.height) for box in largest]


def _with_margin(box: Any, margin: float, width: int, height: int) -> Box:
    more_x, more_y = int((box.x_max - box.x_min) * margin), int((box.y_max - box.y_min) * margin)
    return Box(
        x_min=max(0, box.x_min - more_x),
        y_min=max(0, box.y_min - more_y),
        x_max=min(width, box.x_max + more_x),
        y_max=min(height, box.y_max + more_y),
    )
