"""Fits a picture to Anthropic's limits: unchanged if it is within them, otherwise scaled down.

Anthropic scales a large picture down before its model sees it (to 1568 pixels on the long side), and advises to do so
before sending (platform.claude.com/docs/en/build-with-claude/vision). Its limits: JPEG, PNG, GIF or WebP; 8000 pixels a
side, 2000 where more than 20 pictures come; 5 MB each, counted as base64.
"""

import io

from PIL import Image, ImageOps

from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.providers.anthropic.errors import NAME

TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
MAX_BYTES = 5 * 1024 * 1024 * 3 // 4  # 5 MB as base64
MAX_SIDE, MAX_SIDE_OF_MANY, MANY = 8000, 2000, 20  # pixels
SENT_SIDE = 2000  # pixels; the longer side after scaling
MAX_MEGAPIXELS = 64  # larger ones are not decoded; this much takes about 200 MB


def fit_image(file: Media, number: int, *, many: int) -> Media:
    """The picture, scaled down if it is over a limit. Raises `RequestRefusedError` if it cannot be sent.

    Scaling blocks: call it in a thread. `number` is its number in the prompt, `many` the number of pictures.
    """
    if file.content_type not in TYPES:
        raise _refused(number, f"is {file.content_type}; allowed: {', '.join(sorted(TYPES))}")
    try:
        with Image.open(io.BytesIO(file.data)) as picture:
            side = MAX_SIDE_OF_MANY if many > MANY else MAX_SIDE
            if len(file.data) <= MAX_BYTES and max(picture.size) <= side:
                return file
            if picture.width * picture.height > MAX_MEGAPIXELS * 1_000_000:
                raise _refused(number, f"is {picture.width}x{picture.height}; allowed: {MAX_MEGAPIXELS} megapixels")
            return Media(_scaled(picture), "image/jpeg")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _refused(number, "cannot be decoded") from error


def _scaled(picture: Image.Image) -> bytes:
    """A JPEG, turned upright, with transparency on white; the first frame of an animation."""
    picture.draft("RGB", (SENT_SIDE, SENT_SIDE))  # decodes a JPEG at a smaller size: an eighth of the memory
    picture.thumbnail((SENT_SIDE, SENT_SIDE))
    upright = ImageOps.exif_transpose(picture)
    if upright.has_transparency_data:
        transparent = upright.convert("RGBA")
        upright = Image.new("RGB", upright.size, "white")
        upright.paste(transparent, mask=transparent)
    spool = io.BytesIO()
    upright.convert("RGB").save(spool, "JPEG", quality=90)
    return spool.getvalue()


def _refused(number: int, what: str) -> RequestRefusedError:
    return RequestRefusedError(f"anthropic: image {number} {what}; nothing was sent", provider=NAME, kind="image")
