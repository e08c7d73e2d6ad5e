"""The size of a picture, from the size fields that fal's endpoints have."""

import math
from collections.abc import Mapping
from typing import Any

from twin.fal.models import Model, Models
from twin.fal.size_rules import drawn_preset

Size = tuple[int, int]

SIDE_OF_RESOLUTION = {
    "0.5K": 512,
    "1K": 1024,
    "1k": 1024,
    "1 MP": 1024,
    "2K": 2048,
    "2k": 2048,
    "4K": 4096,
    "4 MP": 2048,
}
SIDE_OF_AUTO = {"auto_1K": 1024, "auto_2K": 2048, "auto_3K": 3072, "auto_4K": 4096}
SIDE_OF_ENDPOINT = {"fal-ai/flux-pro/v1.1-ultra": 2048}
SIDES = ("expand_left", "expand_right", "expand_top", "expand_bottom")
DEFAULT_SIDE = 1024
MAX_RATIO = 20
MAX_SIDE = 4096
MAX_PIXELS = 36_000_000
GRID = 16


def picture_size(models: Models, model: Model | None, values: Mapping[str, Any], source: Size | None) -> Size:
    """Return width and height; `values` is the input with defaults, `source` the size of the input picture."""
    if sized := _from_image_size(models, values.get("image_size")):
        return drawn_preset(model.endpoint, sized) if model and isinstance(values["image_size"], str) else sized
    canvas = values.get("canvas_size")
    if isinstance(canvas, list) and len(canvas) == 2:
        return _whole(canvas[0], canvas[1])
    if source and any(values.get(side) for side in SIDES):
        left, right, top, bottom = (int(values.get(side) or 0) for side in SIDES)
        return source[0] + left + right, source[1] + top + bottom
    factor = values.get("upscale_factor", values.get("scale"))
    if source and isinstance(factor, int | float) and factor > 0:
        return _whole(source[0] * factor, source[1] * factor)
    ratio = read_ratio(values.get("aspect_ratio"))
    if side := SIDE_OF_AUTO.get(str(values.get("image_size"))):
        ratio = source[0] / source[1] if source else 1.0
        return _snap(side * math.sqrt(ratio)), _snap(side / math.sqrt(ratio))
    if ratio is None and source:
        return _within(*source)
    side = _side(model, values)
    if ratio is None:
        return _default(models, model, side)
    return _snap(side * math.sqrt(ratio)), _snap(side / math.sqrt(ratio))


def read_ratio(text: Any) -> float | None:
    """Return the ratio of a text such as `16:9`; None for `auto` and for ratios that no picture can have."""
    try:
        width, height = str(text).split(":")
        ratio = float(width) / float(height)
    except (ValueError, ZeroDivisionError):
        return None
    return ratio if 1 / MAX_RATIO <= ratio <= MAX_RATIO else None


def _from_image_size(models: Models, value: Any) -> Size | None:
    if isinstance(value, dict):
        return int(value.get("width", 512)), int(value.get("height", 512))
    return models.presets.get(value) if isinstance(value, str) else None


def _side(model: Model | None, values: Mapping[str, Any]) -> int:
    if model and model.endpoint in SIDE_OF_ENDPOINT:
        return SIDE_OF_ENDPOINT[model.endpoint]
    return SIDE_OF_RESOLUTION.get(str(values.get("resolution")), DEFAULT_SIDE)


def _default(models: Models, model: Model | None, side: int) -> Size:
    return (side, side) if model else models.presets["landscape_4_3"]


def _within(width: float, height: float) -> Size:
    shrink = min(1.0, MAX_SIDE / max(width, height, 1))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _whole(width: float, height: float) -> Size:
    return max(1, round(width)), max(1, round(height))


def most_of_endpoint(endpoint: str, size: Size) -> str | None:
    """Return why an endpoint does not draw a picture of this size; None if it does."""
    if endpoint == "fal-ai/flux-2-pro/outpaint" and max(size) > 2560:
        return "The expanded image must not be larger than 2560 pixels on a side"
    if endpoint == "fal-ai/bria/expand" and size[0] * size[1] >= 5000 * 5000:
        return "The canvas area must be smaller than 5000x5000 pixels"
    return None


def _snap(length: float) -> int:
    return max(GRID, round(length / GRID) * GRID)
