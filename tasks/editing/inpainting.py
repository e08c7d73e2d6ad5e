"""A part of a picture, painted anew."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from config.catalogue import Model
from tasks.editing.masks import MaskCheck, check_apart
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.jobs.file_refs import Image, Mask, Weights
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import (
    LORA_FIELDS,
    MOST_LORAS,
    MOST_MEGAPIXELS,
    Lora,
    ModelName,
    NegativePrompt,
    OutputFormat,
    Paints,
    Prompt,
    Seed,
    Weight,
    check_loras,
    joined_loras,
    lora_arguments,
    picture_arguments,
)
from worker.jobs.request import BaseRequest


class Inpaint(BaseRequest):
    """A picture and a mask of the same size. `paints`: the part of the mask where the picture is painted.

    Without `paints` it is the white part, and a mask that is probably the wrong way round is refused. `reference` shows
    what to paint, for models that take it.
    """

    model: ModelName = "flux-fill"
    image: Image
    mask: Mask
    paints: Paints | None = None
    prompt: Prompt
    negative_prompt: NegativePrompt | None = None
    reference: Image | None = None
    strength: float | None = Field(None, ge=0.01, le=1)
    loras: list[Lora] = Field([], max_length=MOST_LORAS)
    lora_url: Weights | None = None
    lora_scale: Weight | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: Seed | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=50)
    output_format: OutputFormat | None = None
    enable_safety_checker: bool | None = None

    follows: ClassVar[Mapping[str, str]] = {
        "image": "images.0.url",
        "mask": "masks.0.url",
        "lora_url": "weights.url",
    }

    @model_validator(mode="after")
    def _fits(self) -> "Inpaint":
        check_apart(self.image, self.mask)
        check_loras(self.loras, self.lora_url, self.lora_scale)
        return self

    def arguments(self, model: Model) -> dict[str, Any]:
        """The arguments by our names."""
        arguments = picture_arguments(self, model, self.num_images, "paints", *LORA_FIELDS)
        if loras := joined_loras(self.loras, self.lora_url, self.lora_scale):
            arguments["loras"] = lora_arguments(loras)
        return arguments


@job_task("editing.inpaint", queue="editing", asks=Inpaint, gives=Edited, files=MaskCheck())
def inpaint(request: Inpaint, model: Model) -> Step:
    """Paint a part of a picture anew, as a prompt says."""
    painted = Piece("images", "image", "images.*", count=request.num_images, most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, request.arguments(model), (painted,), request.extra)
