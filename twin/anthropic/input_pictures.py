"""Reads the pictures of a message, with Anthropic's error messages for bad ones."""

import asyncio
import base64
import binascii
from urllib.parse import urlsplit

from twin.anthropic.errors import Refused
from twin.anthropic.request import Base64Source, FileSource, ImageBlock
from twin.call_service import CallService
from twin.fetch import Unreachable, is_loopback
from twin.input_picture import InputPicture, NotAPicture, inspect, unread_picture

MAX_BYTES = 5 * 1024 * 1024
MAX_SIDE = 8_000
PIXELS_PER_TOKEN = 750
MAX_TOKENS_EACH = 1_600
UNREADABLE = "Could not process image"


async def read_picture(service: CallService, block: ImageBlock, path: str) -> InputPicture:
    """Read one picture; raise Refused."""
    source = block.source
    if isinstance(source, FileSource):
        raise Refused(404, f"File not found: {source.file_id[:100]}")
    if isinstance(source, Base64Source):
        return await _read_inline(source, f"{path}.source.base64")
    data = await _read_url(service, source.url, f"{path}.source.url")
    return unread_picture(source.url) if data is None else await _decode(data, f"{path}.source.url")


def estimate_picture_tokens(picture: InputPicture) -> int:
    """Return an estimate of the tokens of a picture."""
    return min(MAX_TOKENS_EACH, max(1, picture.width * picture.height // PIXELS_PER_TOKEN))


async def _read_inline(source: Base64Source, path: str) -> InputPicture:
    try:
        data = base64.b64decode(source.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{path}.data: invalid base64 data") from error
    picture = await _decode(data, path)
    if f"image/{picture.format}" != source.media_type:
        kind = f"the image appears to be a image/{picture.format} image"
        raise Refused(400, f"{path}: The image was specified using the {source.media_type} media type, but {kind}")
    return picture


async def _read_url(service: CallService, url: str, path: str) -> bytes | None:
    """Return the bytes; None for a foreign host, which is not read. HTTP is allowed for loopback only."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise Refused(400, f"{path}: Only HTTPS URLs are supported.")
        return await service.fetcher.read(url)
    except (Unreachable, ValueError) as error:
        raise Refused(400, f"{path}: Unable to download the file. Please verify the URL and try again.") from error


async def _decode(data: bytes, path: str) -> InputPicture:
    if len(data) > MAX_BYTES:
        raise Refused(400, f"{path}: image exceeds 5 MB maximum: {len(data)} bytes > {MAX_BYTES} bytes")
    try:
        picture = await asyncio.to_thread(inspect, data)
    except NotAPicture as error:
        raise Refused(400, UNREADABLE) from error
    if max(picture.width, picture.height) > MAX_SIDE:
        raise Refused(400, f"{path}: At least one of the image dimensions exceed max allowed size: {MAX_SIDE} pixels")
    return picture
