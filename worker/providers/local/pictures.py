"""The picture work itself: bytes in, a PNG out. Blocking, with Pillow. All pictures are taken upright.

A mask is white where something happens and black elsewhere; it is brought to the size of its picture.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter, ImageStat

from worker.errors import RequestRefusedError
from worker.files.file_info import DefectError
from worker.files.media import Media
from worker.files.upright import open_upright

NAME = "local"
SHEET_TILE_PX = 512
MOST_PIXELS = 36_000_000  # of each picture
TINTS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45")
_TINTED, _EDGE_PX = 45, 2  # per cent of the tint inside a mask, and the width of its edge
_WHITE = 128  # from here on a mask's pixel counts as white


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels from its upper left corner; the last column and row are outside."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, upper, right and lower, as Pillow takes them."""
        return self.x_min, self.y_min, self.x_max, self.y_max

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.x_max - self.x_min, self.y_max - self.y_min

    def check_inside(self, picture: Image.Image) -> None:
        """Raise `RequestRefusedError` unless the box lies in the picture."""
        left, upper, right, lower = self.edges
        if not (0 <= left < right <= picture.width and 0 <= upper < lower <= picture.height):
            size = f"{picture.width}x{picture.height}"
            raise RequestRefusedError(f"box: {left},{upper} to {right},{lower} is not inside {size}", provider=NAME)


def grow_mask(mask: Media, by: int, feather: int) -> bytes:
    """The mask with its white part grown by so many pixels, then with an edge that fades over so many more."""
    white = _opened(mask).convert("L").point(lambda value: 255 if value >= _WHITE else 0)
    grown = _spread(_spread(white, by, across=True), by, across=False)
    if feather:
        blurred = max(1, feather // 2)  # a box blur reaches exactly so far
        reach = feather - blurred
        wide = _spread(_spread(grown, reach, across=True), reach, across=False)
        grown = ImageChops.lighter(grown, wide.filter(ImageFilter.BoxBlur(blurred)))
    return _png(grown)


def cut(picture: Media, box: Box) -> bytes:
    """The part of the picture in the box."""
    whole = _opened(picture)
    box.check_inside(whole)
    return _png(whole.crop(box.edges))


@dataclass(frozen=True)
class Blended:
    """A blended picture, and how much the pixels differ that the mask leaves alone: 0 to 1, on average and at most."""

    data: bytes
    model_difference: float
    model_most: float
    difference: float
    most: float


def blend(base: Media, over: Media, mask: Media | None, box: Box | None, feather: int = 0) -> Blended:
    """`over` put onto `base`: where the mask is white, or into the box, or both. Elsewhere `base` stays as it is.

    `over` is brought to the size of the box, or of the base. Without a mask, its edge fades over `feather` pixels.
    """
    below = _plain(_opened(base))
    part = box or Box(0, 0, below.width, below.height)
    part.check_inside(below)
    size = part.size
    above = Image.new(below.mode, below.size)
    above.paste(_plain(_opened(over)).convert(below.mode).resize(size, Image.Resampling.LANCZOS), part.edges)
    opacity = Image.new("L", below.size, 0)
    opacity.paste(_mask(mask, size) if mask else _faded(size, feather), part.edges)
    blended = Image.composite(above, below, opacity)
    untouched = opacity.point(lambda value: 255 if value == 0 else 0)
    inside = Image.new("L", below.size, 0)
    inside.paste(255, part.edges)
    by_model = _difference(above, below, ImageChops.multiply(untouched, inside))
    return Blended(_png(blended), *by_model, *_difference(blended, below, untouched))


def contact_sheet(pictures: Sequence[Media], columns: int) -> bytes:
    """The pictures side by side, each in a tile of the same size, on white."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * SHEET_TILE_PX, rows * SHEET_TILE_PX), "white")
    for n, picture in enumerate(pictures):
        tile = _plain(_opened(picture))
        tile.thumbnail((SHEET_TILE_PX - 8, SHEET_TILE_PX - 8))
        left = n % columns * SHEET_TILE_PX + (SHEET_TILE_PX - tile.width) // 2
        upper = n // columns * SHEET_TILE_PX + (SHEET_TILE_PX - tile.height) // 2
        sheet.paste(tile.convert("RGB"), (left, upper))
    return _png(sheet)


def size_of(media: Media) -> tuple[int, int]:
    """Its width and height by the header. Raises Pillow's errors (`UNREADABLE`)."""
    with Image.open(io.BytesIO(media.data)) as picture:
        return picture.size


def check_pixels(media: Media) -> None:
    """Raise `DefectError` for a picture with more than `MOST_PIXELS`. Only its header is read."""
    width, height = size_of(media)
    if width * height > MOST_PIXELS:
        raise DefectError(f"is {width}x{height} pixels; allowed: {MOST_PIXELS / 1e6:g} megapixels", "too_many_pixels")


def overlay(picture: Media, masks: Sequence[Media]) -> bytes:
    """The picture with each mask's white part tinted in a colour of its own, with an edge."""
    drawn = _plain(_opened(picture)).convert("RGB")
    for n, each in enumerate(masks):
        white = _mask(each, drawn.size).point(lambda value: 255 if value >= _WHITE else 0)
        inner = white.filter(ImageFilter.MinFilter(2 * _EDGE_PX + 1))
        tint = Image.new("RGB", drawn.size, TINTS[n % len(TINTS)])
        opacity = ImageChops.lighter(
            white.point(lambda value: value * _TINTED // 100), ImageChops.subtract(white, inner)
        )
        drawn = Image.composite(tint, drawn, opacity)
    return _png(drawn)


def _opened(media: Media) -> Image.Image:
    try:
        check_pixels(media)
    except DefectError as error:
        raise RequestRefusedError(f"a picture {error}", provider=NAME) from error
    return open_upright(media)


def _spread(mask: Image.Image, by: int, *, across: bool) -> Image.Image:
    """White spread by so many pixels to both sides. The reach grows threefold with each round."""
    reach = 0
    while reach < by:
        step = min(2 * reach + 1, by - reach)
        moved = [_moved(mask, step * sign, across=across) for sign in (1, -1)]
        mask, reach = ImageChops.lighter(ImageChops.lighter(mask, moved[0]), moved[1]), reach + step
    return mask


def _moved(mask: Image.Image, by: int, *, across: bool) -> Image.Image:
    moved = Image.new("L", mask.size, 0)
    moved.paste(mask, (by, 0) if across else (0, by))
    return moved


def _faded(size: tuple[int, int], feather: int) -> Image.Image:
    """White of this size, with an edge that fades to black."""
    width, height = size
    inset = min(feather, (width - 1) // 2, (height - 1) // 2)
    opacity = Image.new("L", size, 0)
    opacity.paste(255, (inset, inset, width - inset, height - inset))
    return opacity.filter(ImageFilter.BoxBlur(inset // 2)) if inset > 1 else opacity


def _mask(mask: Media, size: tuple[int, int]) -> Image.Image:
    return _opened(mask).convert("L").resize(size, Image.Resampling.BILINEAR)


def _plain(picture: Image.Image) -> Image.Image:
    """The picture in RGB, or in RGBA if it has transparency."""
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _difference(one: Image.Image, other: Image.Image, where: Image.Image) -> tuple[float, float]:
    """The average and the largest difference of the pixels where the mask is white, 0 to 1."""
    if not where.getbbox():
        return 0.0, 0.0
    found = ImageStat.Stat(ImageChops.difference(one, other), where)
    most = max(high for _, high in found.extrema)
    return round(sum(found.mean) / len(found.mean) / 255, 6), round(most / 255, 6)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=3)
    return file.getvalue()
