"""Makes the output of a run in the shape of the endpoint's schema.

Unknown endpoints answer in the shape of FLUX.
"""

import hashlib
import random
from collections.abc import Mapping
from typing import Any

from twin.fal.models import Field, Model, Shape
from twin.fal.output_files import MAX_PICTURES, OutputFiles

FLUX: Shape = {
    "images": Field("array", is_required=True, items="Image"),
    "timings": Field("any", is_required=True),
    "seed": Field("integer", is_required=True),
    "has_nsfw_concepts": Field("array", is_required=True, items="boolean"),
    "prompt": Field("string", is_required=True),
}
IMAGE: Shape = {name: Field() for name in ("url", "width", "height", "content_type")}
TEXTS = {"finish_reason": "stop", "language_code": "en", "path": "M0.2 0.2 L0.8 0.2 L0.8 0.8 L0.2 0.8 Z"}
EDGES = {"x_min": (0.1, 0.4), "y_min": (0.1, 0.4), "x_max": (0.6, 0.9), "y_max": (0.6, 0.9)}
REQUESTED_BY = {
    "mask_image": "output_mask",
    "scores": "include_scores",
    "boxes": "include_boxes",
    "metadata": "include_scores",
}


def make_output(model: Model | None, files: OutputFiles) -> dict[str, Any]:
    """Return the output of an endpoint; creates its files in `output_files`."""
    return _Filler(model, files).fill(model.output if model else FLUX)


class _Filler:
    """Fills shapes with plausible values; the same seed and input give the same values."""

    def __init__(self, model: Model | None, files: OutputFiles) -> None:
        self._shapes: Mapping[str, Shape] = model.shapes if model else {"Image": IMAGE}
        self._files = files
        text = f"{files.job.seed}|{files.prompt}"
        self._rng = random.Random(hashlib.sha256(text.encode()).digest())

    def fill(self, shape: Shape) -> dict[str, Any]:
        return {
            name: self._value(name, field)
            for name, field in shape.items()
            if field.is_required or self._is_requested(name)
        }

    def _is_requested(self, name: str) -> bool:
        """Whether the input asks for this optional output."""
        values = self._files.values
        if name == "image":
            return bool(values.get("preview") or values.get("apply_mask"))
        return name == "bbox" or bool(values.get(REQUESTED_BY.get(name, "")))

    def _value(self, name: str, field: Field) -> Any:
        shape = self._shapes.get(field.items or field.ref or "")
        if field.type == "array":
            return self._list(name, field, shape)
        if shape is not None:
            return self._files.make_file(name, shape) if "url" in shape else self.fill(shape)
        return self._plain(name, field.type)

    def _list(self, name: str, field: Field, shape: Shape | None) -> list[Any]:
        if shape is not None and "url" in shape:
            count = self._files.count if name == "images" else self._mask_count()
            return [self._files.make_file(name, shape) for _ in range(count)]
        if shape is not None:
            return [self.fill(shape) for _ in range(2)]
        if name == "has_nsfw_concepts":
            return [self._files.is_black] * self._files.count
        if name == "languages":
            return ["en"]
        if name == "timestamp":
            return [0.0, 1.5]
        if field.items == "Array<number>":
            return [[0.5, 0.5, 0.4, 0.4] for _ in range(self._mask_count())]
        return [self._plain(name, field.items or "any") for _ in range(self._mask_count())]

    def _mask_count(self) -> int:
        values = self._files.values
        requested = values.get("max_masks", 1) if values.get("return_multiple_masks") else 1
        return max(1, min(MAX_PICTURES, int(requested)))

    def _plain(self, name: str, kind: str) -> Any:
        if name == "seed":
            return self._files.job.seed
        if name in EDGES:
            return round(self._rng.uniform(*EDGES[name]), 4)
        if kind == "integer":
            return self._rng.randint(1, 200)
        if kind == "number":
            return round(self._rng.random(), 4)
        if kind == "boolean":
            return False
        if kind == "string":
            return self._text(name)
        return {"inference": self._files.job.seconds} if name == "timings" else {}

    def _text(self, name: str) -> str:
        if name in TEXTS:
            return TEXTS[name]
        if "prompt" in name:
            return self._files.prompt
        return f"The twin of {self._files.job.submission.endpoint} was asked: {self._files.prompt[:400]}"
