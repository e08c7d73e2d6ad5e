"""Stickers: a picture is drawn from words or from a photo, then its background is removed.

Each step has the fallbacks of its task. It replaces fal's face-to-sticker, which is retired.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from tasks.editing import RemoveBackground, remove_background
from tasks.generation import ImageToImage, TextToImage, image_to_image, text_to_image
from tasks.pipelines.step_checks import A_PICTURE, Calls, step_problems, sum_problems
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece
from worker.jobs.picture_fields import ModelName, Prompt, Seed
from worker.jobs.request import JobOptions, TaskRequest
from worker.jobs.status import FileOut, JobResult

STYLE = "as a sticker, clean thick white outline, flat colours, plain background"
PROMISES = (Piece("images", "image", "images.*"), Piece("drafts", "image", "drafts.*"))


class Sticker(TaskRequest):
    """A sticker of what `prompt` says, or of the photo `image` as `prompt` says.

    `model` draws it: a model of generation.text_to_image, or with a photo of generation.image_to_image. `cutter` is a
    model of editing.remove_background.
    """

    prompt: Prompt
    image: Image | None = None
    model: ModelName | None = None
    strength: float | None = Field(None, ge=0.01, le=1)
    seed: Seed | None = None
    cutter: ModelName | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class Stickers(JobResult):
    """`images`: the sticker on a transparent background. `drafts`: the picture that it was cut out of."""

    images: list[FileOut]
    drafts: list[FileOut]


def sticker_problems(request: Sticker, options: JobOptions) -> list[tuple[str, str]]:
    """What the drawing or the cutting would refuse, by field."""
    (drawer, drawing), (cutter, cutting) = calls = _calls(request)
    found = step_problems(drawer, drawing, options, {"images.0": "image"})
    found += step_problems(cutter, cutting, options, {"model": "cutter"})
    return found or sum_problems(calls, options)


def _calls(request: Sticker) -> Calls:
    """The call that draws, and the call that cuts out."""
    drawer = image_to_image if request.image else text_to_image
    return [(drawer, _drawing(request)), (remove_background, {"image": A_PICTURE, "model": request.cutter})]


def _drawing(request: Sticker) -> dict[str, Any]:
    """The parameters of the call that draws it."""
    drawing: dict[str, Any] = {"prompt": f"{request.prompt}, {STYLE}", "seed": request.seed}
    if request.model:
        drawing["model"] = request.model
    return {**drawing, "images": [request.image], "strength": request.strength} if request.image else drawing


@pipeline_task(
    "editing.sticker",
    queue="editing",
    asks=Sticker,
    gives=Stickers,
    promises=PROMISES,
    check=sticker_problems,
    calls=_calls,
)
async def sticker(request: Sticker, job: Pipeline) -> Mapping[str, Any]:
    """Draw it, then cut it out."""
    asks = ImageToImage if request.image else TextToImage
    drawn = await job.step("draw", asks(**_drawing(request)))
    cutting = {"model": request.cutter} if request.cutter else {}
    done = await job.step("cut-out", RemoveBackground(image=drawn.images[0].key, **cutting))
    return {"images": done.images[:1], "drafts": drawn.images[:1]}
