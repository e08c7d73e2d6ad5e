"""A garment in a photo is painted anew, and nothing else of the photo changes: that is measured."""

from asyncio import gather
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from tasks.editing import Inpaint, inpaint
from tasks.editing.compositing import Blend, GrowMask, OutsideMask
from tasks.pipelines.step_checks import A_PICTURE, Calls, all_problems
from tasks.vision.segmentation import Segment, segment
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.errors import RequestRefusedError
from worker.jobs.file_refs import Image, Mask, Weights
from worker.jobs.job import Piece
from worker.jobs.picture_fields import ModelName, Prompt, Seed, Weight
from worker.jobs.request import JobOptions, TaskRequest
from worker.jobs.status import FileOut, JobResult

PROMISES = (Piece("images", "image", "images.*"), Piece("masks", "image", "masks.*"))
_OF_PAINTING = ("model", "reference", "lora_url", "lora_scale", "strength", "seed")


class FixGarment(TaskRequest):
    """The garment that `garment` names ("the coat") is painted as `prompt` says.

    `reference` (a photo of the product) and `lora_url` say what it looks like, for models of editing.inpaint that take
    them. The mask is found by words, or given; it is grown by `grow` pixels, and fades over `feather` more.
    """

    image: Image
    garment: Prompt
    prompt: Prompt
    mask: Mask | None = None
    model: ModelName | None = None
    reference: Image | None = None
    lora_url: Weights | None = None
    lora_scale: Weight | None = None
    strength: float | None = Field(None, ge=0.01, le=1)
    seed: Seed | None = None
    grow: int = Field(12, ge=0, le=512)
    feather: int = Field(8, ge=0, le=512)

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url", "lora_url": "weights.url"}


class FixedGarment(JobResult):
    """The photo, the mask that was used, and how much changed outside of it.

    `outside_mask.of_edit` is what the inpainting model changed there, `outside_mask.of_result` what is left of that
    after blending: nothing.
    """

    images: list[FileOut]
    masks: list[FileOut]
    outside_mask: OutsideMask


def garment_problems(request: FixGarment, options: JobOptions) -> list[tuple[str, str]]:
    """What the painting would refuse, by field."""
    return all_problems(_calls(request), options)


def _calls(request: FixGarment) -> Calls:
    """The calls that cost money."""
    finding = [] if request.mask else [(segment, {"image": request.image, "prompt": request.garment})]
    return [*finding, (inpaint, _painting(request, A_PICTURE))]


@pipeline_task(
    "editing.fix_garment",
    queue="editing",
    asks=FixGarment,
    gives=FixedGarment,
    promises=PROMISES,
    check=garment_problems,
    calls=_calls,
)
async def fix_garment(request: FixGarment, job: Pipeline) -> Mapping[str, Any]:
    """Find the garment, paint it, and put only that onto the photo."""
    found = request.mask or await _found(request, job)
    hard, soft = await gather(
        job.step("grow", GrowMask(mask=found, by=request.grow)),
        job.step("feather", GrowMask(mask=found, by=request.grow, feather=request.feather)),
    )
    painted = await job.step("paint", Inpaint(**_painting(request, hard.images[0].key)))
    blended = await job.step("blend", Blend(base=request.image, over=painted.images[0].key, mask=soft.images[0].key))
    return {"images": blended.images, "masks": soft.images, "outside_mask": blended.outside_mask}


def _painting(request: FixGarment, mask: str) -> dict[str, Any]:
    """The parameters of the call that paints the garment."""
    given = {name: value for name in _OF_PAINTING if (value := getattr(request, name)) is not None}
    return {"image": request.image, "mask": mask, "paints": "white", "prompt": request.prompt, **given}


async def _found(request: FixGarment, job: Pipeline) -> str:
    segmented = await job.step("segment", Segment(image=request.image, prompt=request.garment))
    if not segmented.masks:
        raise RequestRefusedError(f"garment: nothing like {request.garment[:100]!r} was found in the picture")
    return str(segmented.masks[0].key)
