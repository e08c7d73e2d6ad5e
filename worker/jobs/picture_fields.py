"""The fields that requests for pictures have in common: sizes, LoRAs, and how they become arguments. Pure."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from config.catalogue import Model
from config.shape import PRESETS
from worker.jobs.file_refs import Weights
from worker.jobs.request import BaseRequest

MOST_MEGAPIXELS = 36  # of a picture whose size was left to the model; a size that was asked for is its own limit
MOST_LORAS = 4
LORA_FIELDS = ("loras", "lora_url", "lora_scale")

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
NegativePrompt = Annotated[str, StringConstraints(max_length=20_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Preset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]
Role = Literal["subject", "product", "style", "product2"]
Weight = Annotated[float, Field(ge=0, le=4)]
OutputFormat = Literal["jpeg", "png", "webp"]
Paints = Literal["white", "black", "transparent", "opaque"]  # the part of a mask where the picture is painted


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


def check_loras(loras: Sequence[Lora], lora_url: str | None, lora_scale: float | None) -> None:
    """Raise `ValueError` unless the single LoRA and the list fit together."""
    if lora_scale is not None and lora_url is None:
        raise ValueError("lora_scale needs lora_url")
    if lora_url is not None and len(loras) == MOST_LORAS:
        raise ValueError(f"lora_url comes on top of loras: at most {MOST_LORAS} together")
    roles = [lora.role for lora in loras if lora.role]
    if len(set(roles)) < len(roles):
        raise ValueError("loras: each role (subject, product, style, product2) at most once")


def joined_loras(loras: Sequence[Lora], lora_url: str | None, lora_scale: float | None) -> list[Lora]:
    """The single LoRA first, then the list."""
    if lora_url is None:
        return list(loras)
    return [Lora(url=lora_url, weight=0.8 if lora_scale is None else lora_scale), *loras]


def lora_arguments(loras: Iterable[Lora]) -> list[dict[str, Any]]:
    """The LoRAs as fal's endpoints take them."""
    return [{"path": lora.url, "scale": lora.weight} for lora in loras]


def picture_arguments(request: BaseRequest, model: Model, num_images: int, *apart: str) -> dict[str, Any]:
    """The arguments of a request for pictures, without those `apart`; `num_images` only if it is sent.

    About an endpoint that is not in the catalogue nothing is assumed: it gets the number that the caller has set.
    """
    arguments = request.as_arguments("num_images", *apart)
    is_sent = "num_images" in request.model_fields_set if model.passthrough else model.takes("num_images")
    return {**arguments, "num_images": num_images} if is_sent or num_images > 1 else arguments


def pixels(size: Preset | Size | None) -> tuple[int | None, int | None]:
    """Width and height of a size; None for each if it is left to the model."""
    if size is None:
        return None, None
    return PRESETS[size] if isinstance(size, str) else (size.width, size.height)
