"""A picture as Anthropic takes it: as it is where it fits, else scaled down, which is the vendor's own advice.

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
SENT_SIDE = 2000  # pixels, of what has to be scaled
MAX_MEGAPIXELS = 64  # decoded only up to here, some 200 MB


def fit_image(file: Media, number: int, *, many: int) -> Media:
    """This picture, or a smaller one of the same view. Raises `RequestRefusedError` for what cannot be one.

    Blocks while it scales: call it in a thread.
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
    """As JPEG, upright, transparency on white; of an animation the first frame."""
    picture.draft("RGB", (SENT_SIDE, SENT_SIDE))  # lets a JPEG be decoded small: an eighth of the memory
    picture.thumbnail((SENT_SIDE, SENT_SIDE))
    upright = ImageOps.exif_transpose(picture)
    if upright.has_transparency_data:
        see_through = upright.convert("RGBA")
        upright = Image.new("RGB", upright.size, "white")
        upright.paste(see_through, mask=see_through)
    spool = io.BytesIO()
    upright.convert("RGB").save(spool, "JPEG", quality=90)
    return spool.getvalue()


def _refused(number: int, what: str) -> RequestRefusedError:
    return RequestRefusedError(f"anthropic: image {number} {what}; nothing was sent", provider=NAME, kind="image")
