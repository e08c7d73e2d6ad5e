"""The schemas of fal's endpoints, read from `twin/fal_models.json` and the files of `twin/fal_schemas/`.

`fal_models.json` was made from the client types that fal publishes. The other files were written by hand, for endpoints
that are not in it; each says where its facts are from. `validate` checks inputs against the schemas, `outputs` makes
outputs from them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

GONE = frozenset({"fal-ai/flux-pro"})
"""Endpoints that fal removed and that are not in the file: `fal-ai/flux-pro` answers 404 since 2026."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an input or output."""

    type: str = "any"
    is_required: bool = False
    has_default: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    items: str | None = None
    ref: str | None = None
    alternatives: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    is_media: bool = False


Shape = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Model:
    """An endpoint: its category, its state, and the shapes of input and output.

    fal answers a deprecated endpoint as before, and one that is gone with 404.
    """

    endpoint: str
    category: str
    is_gone: bool
    is_deprecated: bool
    input: Shape
    output: Shape
    shapes: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Models:
    """All endpoints of the file, by id, and the sizes of fal's presets."""

    by_id: Mapping[str, Model]
    presets: Mapping[str, tuple[int, int]]

    def find(self, endpoint: str) -> Model | None:
        """Return an endpoint; None for an id that is not in the file."""
        return self.by_id.get(endpoint)

    def is_gone(self, endpoint: str) -> bool:
        """Whether fal has removed this endpoint."""
        model = self.by_id.get(endpoint)
        return endpoint in GONE or (model is not None and model.is_gone)


@cache
def load_models() -> Models:
    """Read the files, once per process."""
    data = json.loads(files("twin").joinpath("fal_models.json").read_text("utf-8"))
    common = data["_common"]
    shared = {name: _shape(common[name]) for name in ("File", "Image", "ImageSize")}
    found = dict(data["models"])
    for file in sorted(files("twin").joinpath("fal_schemas").iterdir(), key=lambda file: file.name):
        found |= json.loads(file.read_text("utf-8"))["models"]
    rows = {endpoint: _model(endpoint, row, shared) for endpoint, row in found.items()}
    return Models(rows, {name: (width, height) for name, (width, height) in common["image_size_presets"].items()})


def _model(endpoint: str, row: Mapping[str, Any], shared: Mapping[str, Shape]) -> Model:
    own = {name: _shape(shape) for name, shape in row.get("defs", {}).items()}
    return Model(
        endpoint=endpoint,
        category=row["category"],
        is_gone=row["status"] == "gone",
        is_deprecated=row["status"] == "deprecated",
        input=_shape(row["input"]),
        output=_shape(row["output"]),
        shapes={**own, **shared},
    )


def _shape(raw: Mapping[str, Any]) -> Shape:
    return {name: _field(spec) for name, spec in raw.items()}


def _field(spec: Mapping[str, Any]) -> Field:
    return Field(
        type=spec.get("type", "any"),
        is_required=spec.get("required", False),
        has_default="default" in spec,
        default=spec.get("default"),
        enum=tuple(spec.get("enum", ())),
        items=spec.get("items"),
        ref=spec.get("ref"),
        alternatives=tuple(spec.get("or", ())),
        minimum=spec.get("min"),
        maximum=spec.get("max"),
        above=spec.get("exclusive_min"),
        is_media=spec.get("media_url", False),
    )
