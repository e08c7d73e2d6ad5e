"""A picture as people see it: its EXIF orientation applied. Blocking."""

import io

from PIL import Image, ImageOps

from worker.files.media import Media

_TURNED = frozenset({5, 6, 7, 8})  # orientations that exchange width and height
_ORIENTATION = 0x0112


def upright_size(media: Media) -> tuple[int, int]:
    """Width and height of the upright picture, in pixels. The picture is not decoded."""
    with Image.open(io.BytesIO(media.data)) as picture:
        width, height = picture.size
        return (height, width) if picture.getexif().get(_ORIENTATION) in _TURNED else (width, height)


def upright_copy(media: Media) -> Media:
    """The picture without an EXIF orientation, which some endpoints apply and others ignore."""
    with Image.open(io.BytesIO(media.data)) as picture:
        if picture.getexif().get(_ORIENTATION, 1) == 1:
            return media
        form = "JPEG" if picture.format == "JPEG" else "PNG"
    file = io.BytesIO()
    open_upright(media).save(file, form, **({"quality": 95} if form == "JPEG" else {"compress_level": 1}))
    return Media(file.getvalue(), f"image/{form.lower()}")


def open_upright(media: Media) -> Image.Image:
    """The upright picture, decoded."""
    with Image.open(io.BytesIO(media.data)) as picture:
        picture.load()
        if picture.getexif().get(_ORIENTATION, 1) == 1:
            return picture  # `exif_transpose` would return a copy
        return ImageOps.exif_transpose(picture)


def turned_upright(media: Media) -> Media | None:
    """The same picture with its EXIF orientation applied; None if it has none. A JPEG stays one, others become PNG."""
    with Image.open(io.BytesIO(media.data)) as picture:
        if picture.getexif().get(_ORIENTATION, 1) == 1:
            return None
        form = "JPEG" if picture.format in {"JPEG", "MPO"} else "PNG"
    file, upright = io.BytesIO(), open_upright(media)
    if form == "PNG" and upright.mode not in {"1", "L", "LA", "P", "I;16", "RGB", "RGBA"}:
        upright = upright.convert("RGB")
    upright.save(file, form, **({"quality": 95} if form == "JPEG" else {}))
    return Media(file.getvalue(), f"image/{form.lower()}")
