"""Places in a picture: read from answers, checked, and given as shares of the picture and in pixels. Pure.

Pixels are those of the upright picture (its EXIF orientation applied), and count from its top left corner.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

OUTSIDE = 0.02  # how far beyond the edge a model may point; it counts as the edge
MOST = 500  # objects or points of one answer

Share = Annotated[float, Field(ge=0, le=1)]
Facts = Mapping[str, Any]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Box(_Frozen):
    """A box in pixels. It contains the whole object: its edges are rounded outwards."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


class NormalisedBox(_Frozen):
    """A box as shares of the picture's width and height."""

    x_min: Share
    y_min: Share
    x_max: Share
    y_max: Share


class FoundObject(_Frozen):
    """An object: its box in both units, and how sure the model is (0 to 1), if it says so.

    `box` is null if the picture's size is not known: see `Step.facts` in `worker.jobs.job`.
    """

    box: Box | None
    normalised: NormalisedBox
    score: float | None = None


class Point(_Frozen):
    """A point in pixels."""

    x: int
    y: int


class NormalisedPoint(_Frozen):
    """A point as shares of the picture's width and height."""

    x: Share
    y: Share


class FoundPoint(_Frozen):
    """A point in both units. `point` is null if the picture's size is not known."""

    point: Point | None
    normalised: NormalisedPoint


def object_at(edges: Any, facts: Facts, score: Any = None) -> FoundObject:
    """The object of a box like `{"x_min": …}`, in shares. Raises `ValueError` for one that is none."""
    if not isinstance(edges, Mapping):
        raise ValueError("a box is not an object")  # noqa: TRY004 - one class for all that is wrong with an answer
    x_min, y_min, x_max, y_max = (_share(edges.get(name)) for name in ("x_min", "y_min", "x_max", "y_max"))
    if x_min > x_max or y_min > y_max:
        raise ValueError("a box ends before it begins")
    box = NormalisedBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
    return FoundObject(box=_in_pixels(box, facts), normalised=box, score=_score(score))


def object_around(centre: Any, facts: Facts, score: Any = None) -> FoundObject:
    """The object of a box like `[centre x, centre y, width, height]`, in shares. Raises `ValueError`."""
    if not isinstance(centre, list) or len(centre) != 4 or not all(map(_is_number, centre)):
        raise ValueError("a box is not a list of four numbers")
    x, y, width, height = centre
    edges = {"x_min": x - width / 2, "y_min": y - height / 2, "x_max": x + width / 2, "y_max": y + height / 2}
    return object_at(edges, facts, score)


def point_at(place: Any, facts: Facts) -> FoundPoint:
    """The point of `{"x": …, "y": …}`, in shares. Raises `ValueError` for one that is none."""
    if not isinstance(place, Mapping):
        raise ValueError("a point is not an object")  # noqa: TRY004 - as above
    share = NormalisedPoint(x=_share(place.get("x")), y=_share(place.get("y")))
    size = _size(facts)
    if size is None:
        return FoundPoint(point=None, normalised=share)
    width, height = size
    x, y = min(width - 1, math.floor(share.x * width)), min(height - 1, math.floor(share.y * height))
    return FoundPoint(point=Point(x=x, y=y), normalised=share)


def size_in(facts: Facts) -> dict[str, int | None]:
    """The upright picture's `width` and `height`, as results have them."""
    width, height = _size(facts) or (None, None)
    return {"width": width, "height": height}


def _in_pixels(box: NormalisedBox, facts: Facts) -> Box | None:
    size = _size(facts)
    if size is None:
        return None
    width, height = size
    return Box(
        x_min=math.floor(round(box.x_min * width, 3)),
        y_min=math.floor(round(box.y_min * height, 3)),
        x_max=math.ceil(round(box.x_max * width, 3)),
        y_max=math.ceil(round(box.y_max * height, 3)),
    )


def _size(facts: Facts) -> tuple[int, int] | None:
    width, height = facts.get("width"), facts.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _share(value: Any) -> float:
    if not _is_number(value):
        raise ValueError("a coordinate is not a number")
    if not -OUTSIDE <= value <= 1 + OUTSIDE:
        raise ValueError("a coordinate is not between 0 and 1")
    return round(min(1.0, max(0.0, float(value))), 6)


def _score(value: Any) -> float | None:
    return round(float(value), 6) if _is_number(value) and 0 <= value <= 1 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
