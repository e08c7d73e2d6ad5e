"""Whether a file is a whole picture: every pixel is decoded. Blocking; `verify` runs it in a thread.

A silent content filter leaves an entirely black picture (fal.ai answers 200). If the provider flags it, `pieces`
refuses it before anything is fetched. Without a flag it counts as broken here: no generative model draws every pixel at
zero. Masks and depth maps may be black; their mode is greyscale. So may transparent pictures, which have an alpha
channel.
"""

import struct
import warnings
import zlib
from typing import BinaryIO, cast

from PIL import ExifTags, Image, PngImagePlugin

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format

TEXT_BYTES = 16 << 20  # of one text or colour profile in a PNG, unpacked
BLACK = "black"  # the `kind` of the error of a black picture
_BLACK = 2  # of 255: JPEG makes this of black
_BAND_PX = 256  # rows
_COPIES = {
    "PNG": 4,
    "GIF": 4,
    "JPEG": 4,
    "WEBP": 12,
    "AVIF": 12,
    "BMP": 4,
    "TIFF": 8,
}  # bytes a pixel, with the decoder's own copies
_PROGRESSIVE = 6  # more bytes a pixel, for the coefficients of a progressive JPEG
_A_FEW = (16, 16)  # pixels, checked first
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F"})
_QUARTER_TURNS = frozenset({5, 6, 7, 8})  # of EXIF's orientations
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,  # libavif's
    struct.error,
    zlib.error,
)


def limit_pixels(most: int) -> None:
    """Tell Pillow how many pixels a picture or one of its frames may have; the limit is a global of its module."""
    Image.MAX_IMAGE_PIXELS = most
    PngImagePlugin.MAX_TEXT_CHUNK = TEXT_BYTES  # Pillow's own limit of 1 MB refuses ComfyUI's workflows
    PngImagePlugin.MAX_TEXT_MEMORY = 2 * TEXT_BYTES
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `see_picture` refuses, and says the limit


def picture_header(file: BinaryIO, form: Format) -> tuple[FileInfo, int] | None:
    """Its size, and the bytes that decoding it takes; None where the header cannot be read. Nothing is decoded."""
    file.seek(0)
    if form.reader not in _COPIES:
        return None
    try:
        with Image.open(file, formats=[form.reader]) as picture:
            a_pixel = _COPIES[form.reader] + (_PROGRESSIVE if picture.info.get("progressive") else 0)
            return FileInfo(form, *seen_size(picture)), picture.width * picture.height * a_pixel
    except (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None  # `see_picture` says why
    finally:
        file.seek(0)


def see_picture(file: BinaryIO, form: Format, most_pixels: int, may_be_black: bool = False) -> FileInfo:
    """Its size in pixels, upright. Raises `DefectError` when it does not decode, has too many pixels, or is black.

    A caller's picture may be black.
    """
    try:
        with Image.open(file, formats=[form.reader]) as picture:
            if picture.width * picture.height > most_pixels:
                raise DefectError(too_many_pixels(most_pixels), "too_many_pixels")
            picture.load()
            has_alpha = picture.has_transparency_data
            width, height = seen_size(picture)
            oddity = oddity_of(picture)
            black = not may_be_black and _is_black(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DefectError(too_many_pixels(most_pixels), "too_many_pixels") from error
    except UNREADABLE as error:
        raise DefectError(f"does not decode as {form.content_type} ({error})") from error
    if black:
        raise DefectError("entirely black, as a content filter leaves it", BLACK)
    return FileInfo(form, width, height, has_alpha=has_alpha, oddity=oddity)


def seen_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height as a viewer shows it: EXIF may turn the picture by a quarter."""
    width, height = picture.size
    if picture.format == "TIFF" or (picture.format == "PNG" and "exif" not in picture.info):
        return width, height  # Pillow turns a TIFF by itself, and would decode a PNG to search for EXIF
    return (height, width) if picture.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS else (width, height)


def oddity_of(picture: Image.Image) -> str:
    """What some decoders read wrongly, as one word; empty for a plain picture."""
    if getattr(picture, "n_frames", 1) > 1:
        return "several" if picture.format == "MPO" else "animated"
    if picture.mode in {"CMYK", "YCCK"}:
        return "cmyk"
    return "16-bit" if picture.mode[:1] in {"I", "F"} else ""


def too_many_pixels(most_pixels: int) -> str:
    """What is said of a picture with more pixels."""
    return f"declares more than {most_pixels / 1e6:g} megapixels (KILNHAND_MAX_MEGAPIXELS)"


def _is_black(picture: Image.Image) -> bool:
    if picture.mode in _GREY_MODES:
        return False
    few = picture.resize(_A_FEW, Image.Resampling.NEAREST)  # nearly every picture has a light pixel among them
    return _is_all_black(few) and _is_all_black(picture)


def _is_all_black(picture: Image.Image) -> bool:
    """In bands: a copy of the whole picture in other colours would take as much memory as the picture."""
    tops = range(0, picture.height, _BAND_PX)
    return all(
        _is_band_black(picture.crop((0, top, picture.width, min(top + _BAND_PX, picture.height)))) for top in tops
    )


def _is_band_black(picture: Image.Image) -> bool:
    colours = picture if picture.mode == "RGB" else picture.convert("RGBA")
    extrema = cast(tuple[tuple[int, int], ...], colours.getextrema())
    is_opaque = len(extrema) == 3 or extrema[3][0] == 255
    return is_opaque and all(highest <= _BLACK for _, highest in extrema[:3])
