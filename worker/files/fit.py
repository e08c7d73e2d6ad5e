"""Fits a picture to a provider's limits: fewer pixels, fewer bytes, another format. Blocking; runs in a thread.

A picture within the limits is passed on unchanged. Any other becomes a JPEG; transparency becomes white.
"""

import io
import math
from collections.abc import Collection
from dataclasses import dataclass

from PIL import Image, ImageOps

from worker.files.file_info import DefectError, FileInfo
from worker.files.media import Media

_JPEG = "image/jpeg"
_QUALITIES = (92, 85, 75)
_SMALLER = 0.7  # of each side, when no quality is enough
_TRIES = 6


@dataclass(frozen=True)
class ImageLimits:
    """A provider's limits for one picture. None: no limit."""

    most_pixels: int | None = None
    most_bytes: int | None = None
    content_types: Collection[str] | None = None


def fits(seen: FileInfo, size: int, fit: ImageLimits) -> bool:
    """Whether a picture of this many bytes is within the limits."""
    pixels = (seen.width or 0) * (seen.height or 0)
    return (
        pixels <= (fit.most_pixels or pixels)
        and size <= (fit.most_bytes or size)
        and (fit.content_types is None or seen.form.content_type in fit.content_types)
    )


def fit_image(data: bytes, seen: FileInfo, fit: ImageLimits) -> Media:
    """The picture within the limits. Raises `DefectError` when it cannot be made so small."""
    if fits(seen, len(data), fit):
        return Media(data, seen.form.content_type)
    with Image.open(io.BytesIO(data), formats=[seen.form.reader]) as opened:
        picture = _flat(ImageOps.exif_transpose(opened))
    pixels = picture.width * picture.height
    picture = _scaled(picture, math.sqrt(min(1.0, (fit.most_pixels or pixels) / pixels)))
    for _ in range(_TRIES):
        for quality in _QUALITIES:
            jpeg = _jpeg(picture, quality)
            if len(jpeg) <= (fit.most_bytes or len(jpeg)):
                return Media(jpeg, _JPEG)
        picture = _scaled(picture, _SMALLER)
    raise DefectError(f"cannot be made smaller than {(fit.most_bytes or 0) / 1e6:g} MB", "too_large")


def check_file(media: Media, fit: ImageLimits | None) -> Media:
    """The file itself, which is not changed. Raises `DefectError` when it is not within the limits."""
    if fit and fit.most_bytes and len(media.data) > fit.most_bytes:
        raise DefectError(f"larger than the {fit.most_bytes / 1e6:g} MB that the provider takes", "too_large")
    if fit and fit.content_types is not None and media.content_type not in fit.content_types:
        raise DefectError(f"is {media.content_type}; allowed: {', '.join(sorted(fit.content_types))}", "wrong_type")
    return media


def _flat(picture: Image.Image) -> Image.Image:
    """Without transparency, in RGB."""
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def _scaled(picture: Image.Image, by: float) -> Image.Image:
    """Rounded down, so that the product of the sides stays within the limit."""
    if by >= 1:
        return picture
    return picture.resize((max(1, int(picture.width * by)), max(1, int(picture.height * by))), Image.Resampling.LANCZOS)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=False)
    return file.getvalue()
