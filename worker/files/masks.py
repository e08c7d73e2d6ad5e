"""Whether a mask is one, for this picture, and paints a part of it. Blocking.

A mask leaves here as greyscale: white where the picture is painted, which is what fal's endpoints take. Which part of a
caller's mask means that cannot be seen for certain, so masks that are probably the wrong way round are refused unless
the caller says what paints.
"""

import io
from typing import get_args

from PIL import Image, ImageChops

from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.files.upright import open_upright, upright_size
from worker.jobs.picture_fields import Paints

_UNSURE = 0.3  # the largest share of pixels that are neither dark nor light; soft edges and JPEG have fewer
_DARK, _LIGHT = 64, 192
_MOST_OF = 0.5  # of the picture: a mask that paints more, and its whole border, is probably the wrong way round
_BORDER = 0.95


def prepared_mask(mask: Media, picture: Media, paints: Paints | None) -> Media:
    """The mask as greyscale, white where it paints; unchanged if it is that already.

    Raises `RequestRefusedError`, which says what is wrong with it and what is allowed.
    """
    size, wanted = upright_size(mask), upright_size(picture)
    if size != wanted:
        raise _refusal(f"is {size[0]}x{size[1]} pixels; allowed: the size of the image, {wanted[0]}x{wanted[1]}")
    drawn = open_upright(mask)
    grey = _painted(drawn, paints)
    _check(grey, paints)
    if drawn.mode == "L" and paints in {None, "white"}:
        return mask
    file = io.BytesIO()
    grey.save(file, "PNG", compress_level=1)
    return Media(file.getvalue(), "image/png")


def _painted(drawn: Image.Image, paints: Paints | None) -> Image.Image:
    """Greyscale, white where the mask paints."""
    alpha = drawn.convert("RGBA").getchannel("A") if drawn.has_transparency_data else None
    is_in_alpha = alpha is not None and alpha.getextrema()[0] < _DARK  # type: ignore[operator]
    if paints in {"transparent", "opaque"}:
        if alpha is None or not is_in_alpha:
            raise _refusal(f"has no transparent part, but paints is {paints!r}")
        return ImageChops.invert(alpha) if paints == "transparent" else alpha
    if is_in_alpha and paints is None:
        raise _refusal(f"has transparent parts; say in paints what is painted: {', '.join(get_args(Paints))}")
    grey = drawn.convert("L")
    return ImageChops.invert(grey) if paints == "black" else grey


def _check(grey: Image.Image, paints: Paints | None) -> None:
    counts = grey.histogram()
    total = grey.width * grey.height
    if sum(counts[_DARK:_LIGHT]) > _UNSURE * total:
        raise _refusal("is no mask: many of its pixels are neither black nor white")
    light = sum(counts[128:])
    if light == 0:
        other = "" if paints else "; if its black part is to be painted, set paints to 'black'"
        raise _refusal(f"paints nothing: it has no {paints or 'white'} part{other}")
    if light == total:
        raise _refusal("paints the whole image; allowed: a part of it")
    if paints is None and light > _MOST_OF * total and _light_border(grey) > _BORDER:
        raise _refusal(
            f"is white in {light / total:.0%} of the image and along its border: it is probably the wrong way round; "
            "set paints to 'black' if its black part is to be painted, or to 'white' if it is right"
        )


def _light_border(grey: Image.Image) -> float:
    """The share of light pixels along the border."""
    width, height = grey.size
    edges = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    counts = [grey.crop(edge).histogram() for edge in edges]
    return sum(sum(each[128:]) for each in counts) / sum(map(sum, counts))


def _refusal(text: str) -> RequestRefusedError:
    return RequestRefusedError(f"mask: {text}", kind="mask")
