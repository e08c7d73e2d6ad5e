"""Converts a picture to a format that an endpoint takes. Blocking; `decoding` runs it in a process of its own.

It is turned upright by its EXIF; of an animation or of several pictures in one file (MPO) the first one stays. Other
metadata is dropped, except an RGB colour profile.
"""

import io
from collections.abc import Collection
from typing import BinaryIO, cast

from PIL import Image, ImageCms, ImageOps

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format
from worker.files.media import Media
from worker.files.picture import UNREADABLE

PLAIN_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/webp"}
)  # what every endpoint takes, unless the catalogue differs
BYTES_A_PIXEL = 16  # while it is converted: the picture, upright, in other colours, and the encoder's rows
_JPEG, _PNG = "image/jpeg", "image/png"
_QUALITY = 95
_LOSSLESS = frozenset({"BMP", "GIF", "TIFF", "PNG"})
_PNG_PIXELS = 8_000_000  # a larger picture without transparency becomes a JPEG: a PNG would have 20 MB and more
_FULL = {"I": (65535.0,), "F": (1.0, 255.0, 65535.0)}  # white, by the mode of Pillow


def must_convert(seen: FileInfo, taken: Collection[str]) -> bool:
    """Whether an endpoint that takes these content types cannot be given the file as it is."""
    is_taken = seen.form.content_type in taken
    return not is_taken or (bool(seen.oddity) and (seen.form.content_type, seen.oddity) != ("image/gif", "animated"))


def convert(file: BinaryIO, form: Format, taken: Collection[str]) -> Media:
    """The picture as PNG where its pixels must stay (transparency, grey, palette, lossless), otherwise as JPEG.

    Raises `DefectError` when neither is taken, or the picture does not decode.
    """
    if not {_JPEG, _PNG} & set(taken):
        raise DefectError(f"is {form.content_type}; allowed: {', '.join(sorted(taken))}", "wrong_type")
    file.seek(0)
    try:
        with Image.open(file, formats=[form.reader]) as opened:
            profile = opened.info.get("icc_profile") if opened.mode in {"RGB", "RGBA"} else None
            picture = _plain(ImageOps.exif_transpose(opened))
        return _encoded(picture, profile, as_png=_PNG in taken and (_JPEG not in taken or _stays(picture, form)))
    except UNREADABLE as error:
        raise DefectError(f"cannot be converted from {form.content_type} ({error})") from error


def _stays(picture: Image.Image, form: Format) -> bool:
    is_small = picture.width * picture.height <= _PNG_PIXELS
    return picture.mode in {"RGBA", "L"} or (form.reader in _LOSSLESS and is_small)


def _plain(picture: Image.Image) -> Image.Image:
    """In 8-bit grey, RGB or RGBA."""
    if picture.mode[:1] in {"I", "F"}:
        return _eight_bit(picture)
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    if picture.mode == "CMYK":
        return _from_cmyk(picture)
    return picture.convert("L" if picture.mode in {"1", "L"} else "RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Pillow's own conversion cuts off at 255, which leaves white."""
    wide = picture.convert("F")
    top = cast(tuple[float, float], wide.getextrema())[1]
    full = next((limit for limit in _FULL[picture.mode[0]] if top <= limit), top)
    return wide.point(lambda value: value * (255 / full)).convert("L")


def _from_cmyk(picture: Image.Image) -> Image.Image:
    """By its colour profile, if it has one that can be used."""
    profile = picture.info.get("icc_profile")
    if not profile:
        return picture.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        found = None
    return found or picture.convert("RGB")


def _encoded(picture: Image.Image, profile: bytes | None, *, as_png: bool) -> Media:
    spool = io.BytesIO()
    if as_png:
        picture.save(spool, "PNG", icc_profile=profile)
        return Media(spool.getvalue(), _PNG)
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    picture.save(spool, "JPEG", quality=_QUALITY, icc_profile=profile)
    return Media(spool.getvalue(), _JPEG)
