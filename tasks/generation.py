"""Pictures from a prompt."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.catalogue import Model
from config.shape import PRESETS
from worker.edge.task import job_task
from worker.jobs.file_refs import Weights
from worker.jobs.job import Piece, Step
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult

MOST_MEGAPIXELS = 36  # of a picture whose size was left to the model; a size that was asked for is its own limit
MOST_PICTURES = 64  # of one answer
Preset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]
Role = Literal["subject", "product", "style", "product2"]
Weight = Annotated[float, Field(ge=0, le=4)]


class Size(BaseModel):
    """Width and height in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=64, le=14142)
    height: int = Field(ge=64, le=14142)


class Lora(BaseModel):
    """A LoRA and what it stands for. `url` names a .safetensors file, such as the weights of a training job."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: Weights
    role: Role | None = None
    weight: Weight = 0.8


class TextToImage(BaseRequest):
    """A picture from a prompt. A parameter that is left out has the model's own default."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)] = "flux-schnell"
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
    negative_prompt: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    image_size: Preset | Size | None = None
    num_images: int = Field(1, ge=1, le=4)
    seed: int | None = Field(None, ge=0, lt=2**63)
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=35)
    output_format: Literal["jpeg", "png", "webp"] | None = None
    enable_safety_checker: bool | None = None
    loras: list[Lora] = Field([], max_length=4)
    lora_url: Weights | None = None
    lora_scale: Weight | None = None

    follows: ClassVar[Mapping[str, str]] = {"lora_url": "weights.url"}

    @model_validator(mode="before")
    @classmethod
    def _a_lora_needs_a_model_that_takes_it(cls, given: Any) -> Any:
        """With LoRAs and no model, the model is flux-lora: the default model takes no LoRAs."""
        if isinstance(given, dict) and "model" not in given and (given.get("loras") or given.get("lora_url")):
            return {**given, "model": "flux-lora"}
        return given

    @model_validator(mode="after")
    def _loras_fit(self) -> "TextToImage":
        if self.lora_scale is not None and self.lora_url is None:
            raise ValueError("lora_scale needs lora_url")
        if self.lora_url is not None and len(self.loras) == 4:
            raise ValueError("lora_url comes on top of loras: at most 4 together")
        roles = [lora.role for lora in self.loras if lora.role]
        if len(set(roles)) < len(roles):
            raise ValueError("loras: each role (subject, product, style, product2) at most once")
        return self

    def all_loras(self) -> list[Lora]:
        """The single LoRA first, then the list."""
        if self.lora_url is None:
            return self.loras
        return [Lora(url=self.lora_url, weight=0.8 if self.lora_scale is None else self.lora_scale), *self.loras]


class Pictures(JobResult):
    """The result of a generation."""

    images: list[FileOut]


@job_task("generation.text_to_image", queue="generation", asks=TextToImage, gives=Pictures)
def text_to_image(request: TextToImage, model: Model) -> Step:
    """Make one to four pictures from a prompt, with up to four LoRAs."""
    arguments = request.model_dump(
        mode="json", exclude_none=True, exclude={"model", "extra", "loras", "lora_url", "lora_scale", "num_images"}
    )
    if loras := request.all_loras():
        arguments["loras"] = [{"path": lora.url, "scale": lora.weight} for lora in loras]
    is_count_sent = "num_images" in request.model_fields_set if model.passthrough else model.takes("num_images")
    if is_count_sent or request.num_images > 1:
        arguments["num_images"] = request.num_images
    width, height = _pixels(request.image_size)
    most = None if model.passthrough or width else MOST_MEGAPIXELS
    count = _count(request, model)
    pictures = Piece("images", "image", "images.*", count=count, width=width, height=height, most_megapixels=most)
    return Step(model.name, arguments, (pictures,), request.extra)


def _count(request: TextToImage, model: Model) -> int:
    """How many pictures are asked for. An endpoint that is not in the catalogue gets `extra` unchanged."""
    in_extra = request.extra.get("num_images") if model.passthrough else None
    if isinstance(in_extra, int) and not isinstance(in_extra, bool) and 1 <= in_extra <= MOST_PICTURES:
        return in_extra
    return request.num_images


def _pixels(size: Preset | Size | None) -> tuple[int | None, int | None]:
    if size is None:
        return None, None
    return PRESETS[size] if isinstance(size, str) else (size.width, size.height)
