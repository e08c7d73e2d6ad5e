"""What the requests for pictures have in common: their fields, their LoRAs, and the step that they become."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from config.catalogue import Model
from worker.jobs.file_refs import Weights
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import (
    LORA_FIELDS,
    MOST_LORAS,
    MOST_MEGAPIXELS,
    Lora,
    NegativePrompt,
    OutputFormat,
    Preset,
    Prompt,
    Seed,
    Size,
    Weight,
    check_loras,
    joined_loras,
    lora_arguments,
    picture_arguments,
    pixels,
)
from worker.jobs.request import BaseRequest

MOST_PICTURES = 64  # of one answer


class PictureRequest(BaseRequest):
    """The fields of every generation of pictures. A parameter that is left out has the model's own default."""

    prompt: Prompt
    negative_prompt: NegativePrompt | None = None
    image_size: Preset | Size | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: Seed | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=35)
    quality: Literal["low", "medium", "high"] | None = None
    output_format: OutputFormat | None = None
    enable_safety_checker: bool | None = None
    loras: list[Lora] = Field([], max_length=MOST_LORAS)
    lora_url: Weights | None = None
    lora_scale: Weight | None = None

    follows: ClassVar[Mapping[str, str]] = {"lora_url": "weights.url"}
    model_with_loras: ClassVar[str]
    """The model of a request that has LoRAs and names no model: the default model takes no LoRAs."""

    @model_validator(mode="before")
    @classmethod
    def _a_lora_needs_a_model_that_takes_it(cls, given: Any) -> Any:
        if isinstance(given, dict) and "model" not in given and (given.get("loras") or given.get("lora_url")):
            return {**given, "model": cls.model_with_loras}
        return given

    @model_validator(mode="after")
    def _loras_fit(self) -> "PictureRequest":
        check_loras(self.loras, self.lora_url, self.lora_scale)
        return self

    def all_loras(self) -> list[Lora]:
        """The single LoRA first, then the list."""
        return joined_loras(self.loras, self.lora_url, self.lora_scale)


def pictures_step(request: PictureRequest, model: Model) -> Step:
    """The step of a request: its arguments, and the pictures that it promises."""
    arguments = picture_arguments(request, model, request.num_images, *LORA_FIELDS)
    if loras := request.all_loras():
        arguments["loras"] = lora_arguments(loras)
    width, height = pixels(request.image_size)
    most = None if model.passthrough or width else MOST_MEGAPIXELS
    count = _count(request, model)
    pictures = Piece("images", "image", "images.*", count=count, width=width, height=height, most_megapixels=most)
    return Step(model.name, arguments, (pictures,), request.extra)


def _count(request: PictureRequest, model: Model) -> int:
    """How many pictures are asked for. An endpoint that is not in the catalogue gets `extra` unchanged."""
    in_extra = request.extra.get("num_images") if model.passthrough else None
    if isinstance(in_extra, int) and not isinstance(in_extra, bool) and 1 <= in_extra <= MOST_PICTURES:
        return in_extra
    return request.num_images
