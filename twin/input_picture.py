"""Decodes input pictures: size, main colour, digest, thumbnail; and puts thumbnails side by side."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

THUMBNAIL_SIDE = 320
SHEET_MAX_PICTURES = 8
MAX_PIXELS = 50_000_000
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (210, 30, 30),
    "orange": (245, 140, 20),
    "yellow": (245, 225, 50),
    "green": (40, 150, 50),
    "teal": (20, 150, 150),
    "blue": (40, 80, 200),
    "purple": (120, 40, 160),
    "pink": (245, 130, 180),
    "brown": (120, 75, 35),
}


class NotAPicture(ValueError):
    """The bytes cannot be decoded as a picture."""


@dataclass(frozen=True, slots=True)
class InputPicture:
    """A decoded picture, or one that the twin cannot read (`thumbnail` is None, `format` is its address)."""

    width: int
    height: int
    format: str
    colour: str
    hex: str
    digest: str
    thumbnail: bytes | None = None

    def __str__(self) -> str:
        if self.thumbnail is None:
            return f"a picture at {self.format}, not read"
        return f"{self.colour}, {self.width}x{self.height}, {self.digest[:8]}"


def inspect(data: bytes) -> InputPicture:
    """Decode a picture; raise NotAPicture. Takes CPU time, so callers run it in a thread."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            size, kind = image.size, (image.format or "").lower()
            if size[0] * size[1] > MAX_PIXELS:
                raise NotAPicture(f"{size[0]}x{size[1]} pixels are more than {MAX_PIXELS}")
            small = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise NotAPicture(str(error)) from error
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    rgb = _dominant(small)
    return InputPicture(*size, kind, _name(rgb), "#{:02x}{:02x}{:02x}".format(*rgb), _digest(data), _jpeg(small))


def unread_picture(address: str) -> InputPicture:
    """Return an InputPicture for an address that the twin cannot read, such as one in a bucket."""
    return InputPicture(0, 0, address, "unknown", "#000000", _digest(address.encode()))


def contact_sheet(pictures: Sequence[InputPicture]) -> bytes | None:
    """Return the thumbnails side by side, in order, as JPEG; None if no picture was read."""
    smalls = [picture.thumbnail for picture in pictures if picture.thumbnail][:SHEET_MAX_PICTURES]
    if len(smalls) < 2:
        return smalls[0] if smalls else None
    opened = [Image.open(io.BytesIO(small)) for small in smalls]
    height = max(image.height for image in opened)
    scaled = [image.resize((max(1, image.width * height // image.height), height)) for image in opened]
    whole = Image.new("RGB", (sum(image.width for image in scaled), height))
    left = 0
    for image in scaled:
        whole.paste(image, (left, 0))
        left += image.width
    return _jpeg(whole)


def _dominant(image: Image.Image) -> tuple[int, int, int]:
    """Return the colour of the largest of eight groups of similar pixels."""
    groups = image.resize((32, 32)).quantize(8)
    palette, counts = groups.getpalette() or [0, 0, 0], groups.getcolors() or [(1, 0)]
    _, largest = max((count, int(index)) for count, index in counts if isinstance(index, int | float))
    red, green, blue = palette[largest * 3 : largest * 3 + 3]
    return red, green, blue


def _name(rgb: tuple[int, int, int]) -> str:
    return min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(rgb, COLOURS[name], strict=True)))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=75)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
