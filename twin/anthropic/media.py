"""The pictures of a message, decoded and looked at, with Anthropic's words where that fails."""

import asyncio
import base64
import binascii
from urllib.parse import urlsplit

from twin.anthropic.errors import Refused
from twin.anthropic.request import Base64Source, FileSource, ImageBlock
from twin.desk import Desk
from twin.fetch import Unreachable, is_loopback
from twin.sight import NotAPicture, Seen, look, unread

MAX_BYTES = 5 * 1024 * 1024
MAX_SIDE = 8_000
PIXELS_PER_TOKEN = 750
MAX_TOKENS_EACH = 1_600
UNREADABLE = "Could not process image"


async def look_at(desk: Desk, block: ImageBlock, path: str) -> Seen:
    """Look at one picture; raise Refused."""
    source = block.source
    if isinstance(source, FileSource):
        raise Refused(404, f"File not found: {source.file_id[:100]}")
    if isinstance(source, Base64Source):
        return await _inside(source, f"{path}.source.base64")
    data = await _behind(desk, source.url, f"{path}.source.url")
    return unread(source.url) if data is None else await _seen(data, f"{path}.source.url")


def tokens_of_picture(seen: Seen) -> int:
    """Return about how many tokens a picture counts."""
    return min(MAX_TOKENS_EACH, max(1, seen.width * seen.height // PIXELS_PER_TOKEN))


async def _inside(source: Base64Source, path: str) -> Seen:
    try:
        data = base64.b64decode(source.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{path}.data: invalid base64 data") from error
    seen = await _seen(data, path)
    if f"image/{seen.format}" != source.media_type:
        kind = f"the image appears to be a image/{seen.format} image"
        raise Refused(400, f"{path}: The image was specified using the {source.media_type} media type, but {kind}")
    return seen


async def _behind(desk: Desk, url: str, path: str) -> bytes | None:
    """Return the bytes; None for a foreign host, which is taken as good unread. HTTPS only, but for our own machine."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise Refused(400, f"{path}: Only HTTPS URLs are supported.")
        return await desk.fetcher.read(url)
    except (Unreachable, ValueError) as error:
        raise Refused(400, f"{path}: Unable to download the file. Please verify the URL and try again.") from error


async def _seen(data: bytes, path: str) -> Seen:
    if len(data) > MAX_BYTES:
        raise Refused(400, f"{path}: image exceeds 5 MB maximum: {len(data)} bytes > {MAX_BYTES} bytes")
    try:
        seen = await asyncio.to_thread(look, data)
    except NotAPicture as error:
        raise Refused(400, UNREADABLE) from error
    if max(seen.width, seen.height) > MAX_SIDE:
        raise Refused(400, f"{path}: At least one of the image dimensions exceed max allowed size: {MAX_SIDE} pixels")
    return seen
