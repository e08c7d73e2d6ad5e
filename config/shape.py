"""Converts a picture's size to a ratio or a resolution, for endpoints that take those instead of width and height.

The presets are fal's `image_size` enum. Two ratios are the same if they differ by at most 3 %. This covers sizes that
are rounded to what a model draws (1344x768 for 16:9) and separates neighbours (4:3 and 5:4 differ by 6 %).
"""

from collections.abc import Iterable, Mapping

ImageSize = str | Mapping[str, int]

PRESETS: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}

_TOLERANCE = 0.03


def dimensions(size: ImageSize) -> tuple[int, int]:
    """Width and height in pixels. Raises `ValueError` for an unknown preset."""
    if not isinstance(size, str):
        return size["width"], size["height"]
    if size not in PRESETS:
        raise ValueError(f"image_size {size!r} is none of {', '.join(PRESETS)}")
    return PRESETS[size]


def ratio_for(size: ImageSize, ratios: Iterable[str]) -> str | None:
    """The ratio ("16:9") of this size, or None if none of them is near enough."""
    width, height = dimensions(size)
    near = {ratio: abs(_number(ratio) / (width / height) - 1) for ratio in ratios}
    best = min(near, key=lambda ratio: near[ratio], default=None)
    return best if best is not None and near[best] <= _TOLERANCE else None


def resolution_for(size: ImageSize, resolutions: Iterable[str]) -> str | None:
    """The smallest resolution ("2K") with at least as many pixels, or None if even the largest is too small.

    1K means as many pixels as 1024x1024 in any ratio.
    """
    width, height = dimensions(size)
    fits = [name for name in resolutions if width * height <= (_kilo(name) * 1024 * (1 + _TOLERANCE)) ** 2]
    return min(fits, key=_kilo, default=None)


def _number(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return float(width) / float(height)


def _kilo(resolution: str) -> float:
    return float(resolution.upper().removesuffix("K"))
