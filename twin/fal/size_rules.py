"""The sizes that endpoints refuse, by fal's OpenAPI pages of 2026-10-05, and how large they draw a preset.

How a preset that is too small is drawn is not published; here it keeps its ratio and gets the least area.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The least and the most pixels of a picture, the longest side, the largest ratio, and the grid of its sides."""

    least: int
    most: int
    side: int = 14142
    ratio: float = math.inf
    grid: int = 1

    def problem(self, width: int, height: int) -> str | None:
        """Return why a size is refused; None if it is not."""
        if not self.least <= width * height <= self.most:
            return f"Image size must have between {self.least} and {self.most} pixels"
        if max(width, height) > self.side:
            return f"Each edge must be at most {self.side} pixels"
        if max(width, height) > self.ratio * min(width, height):
            return f"The aspect ratio must be at most {self.ratio:g}:1"
        if width % self.grid or height % self.grid:
            return f"Width and height must be multiples of {self.grid}"
        return None


LARGE = SizeRule(2560 * 1440, 4096 * 4096, ratio=16)
RULES = {
    "openai/gpt-image-2": SizeRule(655_360, 8_294_400, side=3840, ratio=3, grid=16),
    "fal-ai/bytedance/seedream/v4.5/": LARGE,
    "bytedance/seedream/v5/lite/": LARGE,
    "bytedance/seedream/v5/pro/": SizeRule(1024 * 1024, 2048 * 2048),
}


def rule_of(endpoint: str) -> SizeRule | None:
    """Return the rule of an endpoint; None if it has none."""
    return next((rule for name, rule in RULES.items() if endpoint.startswith(name)), None)


def size_problem(endpoint: str, values: Mapping[str, Any]) -> str | None:
    """Return why an endpoint refuses the `image_size` of an input; None if it does not."""
    rule, size = rule_of(endpoint), values.get("image_size")
    if rule is None or not isinstance(size, dict):
        return None
    return rule.problem(int(size.get("width", 512)), int(size.get("height", 512)))


def drawn_preset(endpoint: str, size: Size) -> Size:
    """Return the size in which an endpoint draws a preset."""
    rule = rule_of(endpoint)
    grow = math.sqrt(rule.least / math.prod(size)) if rule else 1
    return size if grow <= 1 else (_up(size[0] * grow), _up(size[1] * grow))


def _up(length: float) -> int:
    return math.ceil(length / 16) * 16
