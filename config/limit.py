"""The allowed values of a parameter, and the sizes that an endpoint draws. Pure."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from config.shape import PRESETS


class Limit(BaseModel):
    """The allowed values of a parameter.

    `max_length` counts characters, `max_items` the items of a list, `min_items` the pictures of an archive. `min_side`
    is a picture's least length in pixels on each side. The rest is about a value with width and height, in pixels, or
    a preset of `image_size`: `max_side` for each side, `min_area` and `max_area` for width times height, `max_ratio`
    for the longer side divided by the shorter, and `multiple_of` for both sides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: float | None = None
    max: float | None = None
    one_of: tuple[str | int | float, ...] | None = None
    max_length: int | None = None
    min_side: int | None = Field(None, ge=1)
    min_items: int | None = None
    max_items: int | None = None
    max_side: int | None = Field(None, ge=1)
    min_area: int | None = Field(None, ge=1)
    max_area: int | None = Field(None, ge=1)
    max_ratio: float | None = Field(None, ge=1)
    multiple_of: int | None = Field(None, ge=1)

    def problem(self, value: Any) -> str | None:
        """What is wrong with the value and what is allowed, or None if it is allowed."""
        if self.one_of is not None and (isinstance(value, bool) or value not in self.one_of):
            return f"is {value!r}; allowed: {', '.join(map(str, self.one_of))}"
        if self.max_length is not None and len(str(value)) > self.max_length:
            return f"is {len(str(value))} characters long; allowed: {self.max_length}"
        if self.max_items is not None and isinstance(value, list | tuple) and len(value) > self.max_items:
            return f"has {len(value)}; allowed: {self.max_items}"
        if size := _pixels(value):
            allowed = self._allowed_pixels(*size)
            return f"is {size[0]}x{size[1]} pixels; allowed: {allowed}" if allowed else None
        if (self.min, self.max) != (None, None) and not self._holds(value):
            return f"is {value!r}; allowed: {self._range()}"
        return None

    def _allowed_pixels(self, width: int, height: int) -> str | None:
        """What a size may be, if this one may not be."""
        if self.max_side is not None and max(width, height) > self.max_side:
            return f"{self.max_side} on a side"
        if not (self.min_area or 0) <= width * height <= (self.max_area or math.inf):
            return f"{self._areas()} megapixels"
        if self.max_ratio is not None and max(width, height) > min(width, height) * self.max_ratio:
            return f"a longer side of at most {self.max_ratio:g} times the shorter one"
        if self.multiple_of is not None and (width % self.multiple_of or height % self.multiple_of):
            return f"multiples of {self.multiple_of}"
        return None

    def _areas(self) -> str:
        least, most = ((area or 0) / 1e6 for area in (self.min_area, self.max_area))
        if not self.max_area:
            return f"{least:g} or more"
        return f"{least:g} to {most:g}" if self.min_area else f"{most:g}"

    def _holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = (-math.inf if self.min is None else self.min), (math.inf if self.max is None else self.max)
        return low <= value <= high

    def _range(self) -> str:
        if self.max is None:
            return f"{self.min:.15g} or more"
        return f"{self.max:.15g} or less" if self.min is None else f"{self.min:.15g} to {self.max:.15g}"


def _pixels(value: Any) -> tuple[int, int] | None:
    if isinstance(value, Mapping) and {"width", "height"} <= value.keys():
        return value["width"], value["height"]
    return PRESETS.get(value) if isinstance(value, str) else None
