"""Google's models as of November 2026: sizes, ratios, prices, locations, and which are retired."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Size = tuple[int, int]


class Kind(StrEnum):
    """What a model makes; the value is the category that `twin.pace` uses."""

    TEXT = "language"
    IMAGE = "text-to-image"
    TRY_ON = "image-to-image"
    VIDEO = "text-to-video"


@dataclass(frozen=True, slots=True)
class GoogleModel:
    """One model; prices are US dollars, `usd_in`, `usd_out` and `usd_drawn` for a million tokens.

    A picture is billed by its tokens; Google's page gives the price of one as well, rounded.
    """

    name: str
    kind: Kind
    usd_in: float = 0.0
    usd_out: float = 0.0
    sizes: Mapping[str, int] = field(default_factory=dict)
    """The tokens of one picture of a size."""
    ratios: tuple[str, ...] = ()
    usd_each: float = 0.0
    """The price of one picture of a try-on, or of one second of a video."""
    usd_drawn: float = 0.0
    """The price of a picture's own tokens."""
    usd_each_by_resolution: Mapping[str, float] = field(default_factory=dict)


RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
LONG_RATIOS = (*RATIOS, "1:4", "4:1", "1:8", "8:1")
PIXELS_1K: Mapping[str, Size] = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:4": (896, 1200),
    "4:5": (928, 1152),
    "9:16": (768, 1376),
    "9:21": (672, 1584),
    "1:4": (512, 2048),
    "1:8": (352, 2816),
}
FACTOR = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}

_KNOWN = (
    GoogleModel(
        "gemini-3-pro-image",
        Kind.IMAGE,
        2,
        12,
        {"1K": 1120, "2K": 1120, "4K": 2000},
        RATIOS,
        usd_drawn=120,
    ),
    GoogleModel(
        "gemini-nano-banana-2.1",
        Kind.IMAGE,
        1.5,
        7.5,
        {"1K": 1120, "2K": 1680, "4K": 3767},
        LONG_RATIOS,
        usd_drawn=30,
    ),
    GoogleModel(
        "gemini-3.1-flash-image",
        Kind.IMAGE,
        0.5,
        3,
        {
            "512": 750,
            "1K": 1120,
            "2K": 1680,
            "4K": 2520,
        },
        LONG_RATIOS,
        usd_drawn=60,
    ),
    GoogleModel("gemini-3.1-flash-lite-image", Kind.IMAGE, 0.25, 1.5, {"1K": 1120}, RATIOS, usd_drawn=30),
    GoogleModel("gemini-3.8-flash", Kind.TEXT, 0.75, 3.75),
    GoogleModel("gemini-3.5-flash-lite", Kind.TEXT, 0.3, 2.5),
    GoogleModel("gemini-4-argon", Kind.TEXT, 2, 10),
    GoogleModel("virtual-try-on-001", Kind.TRY_ON, usd_each=0.06),
    GoogleModel("veo-3.1-lite-generate-001", Kind.VIDEO, usd_each=0.05, usd_each_by_resolution={"1080p": 0.08}),
)
MODELS = {model.name: model for model in _KNOWN}
ALIASES = {
    "gemini-flash-latest": "gemini-3.8-flash",
    "gemini-flash-lite-latest": "gemini-3.5-flash-lite",
    "gemini-3.7-flash": "gemini-3.8-flash",
}
"""Ids that another model answers; `modelVersion` in the answer names that model."""
RETIRED = frozenset(
    {
        "gemini-2.0-flash",
        "gemini-2.0-flash-lite",
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
        "gemini-2.5-pro",
        "gemini-3-pro-preview",
        "gemini-3-pro-image-preview",
        "gemini-3.1-flash-image-preview",
        "imagen-3.0-generate-001",
        "imagen-3.0-generate-002",
        "imagen-3.0-fast-generate-001",
        "imagen-4.0-generate-001",
        "imagen-4.0-fast-generate-001",
        "imagen-4.0-ultra-generate-001",
        "veo-2.0-generate-001",
        "veo-3.0-generate-001",
        "veo-3.0-fast-generate-001",
        "veo-3.1-generate-preview",
        "veo-3.1-fast-generate-preview",
        "veo-3.1-generate-001",
        "veo-3.1-fast-generate-001",
    }
)
REGIONAL = frozenset({"virtual-try-on-001"})
"""Models that are not available at the location `global`."""


def find_model(name: str, location: str | None) -> GoogleModel | None:
    """Return the model that answers this id at this location; None if there is none."""
    if location == "global" and name in REGIONAL:
        return None
    return None if name in RETIRED else MODELS.get(ALIASES.get(name, name))


def picture_size(ratio: str, size: str) -> Size:
    """Return width and height in pixels."""
    width, height = ratio.split(":")
    is_wide = int(width) > int(height)
    short, long = PIXELS_1K[f"{height}:{width}" if is_wide else ratio]
    factor = FACTOR[size]
    small, large = round(short * factor), round(long * factor)
    return (large, small) if is_wide else (small, large)


def nearest_ratio(size: Size, ratios: tuple[str, ...]) -> str:
    """Return the ratio that is closest to a picture of this size."""
    return min(ratios, key=lambda ratio: abs(_value(ratio) / (size[0] / size[1]) - 1))


def _value(ratio: str) -> float:
    width, height = ratio.split(":")
    return int(width) / int(height)
