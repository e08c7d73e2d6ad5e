"""The pictures of a request, decoded and looked at, with Google's words where that fails."""

import asyncio
import base64
import binascii

from twin.desk import Desk
from twin.fetch import Unreachable
from twin.google.errors import invalid
from twin.google.request import Blob, FileData, Media
from twin.sight import NotAPicture, Seen, look, unread

MIME_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
MAX_INLINE = 7 * 1024 * 1024
MAX_FILE = 30 * 1024 * 1024
UNREADABLE = "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"


async def look_at_blob(blob: Blob, path: str) -> Seen:
    """Look at bytes inside a request."""
    _check_type(blob.mime_type)
    return await _look(decode(blob.data, f"{path}.inline_data.data"))


async def look_at_file(desk: Desk, file: FileData) -> Seen:
    """Look at bytes behind an address; a bucket's and a foreign host's are taken as good unread."""
    _check_type(file.mime_type)
    return await _read(desk, file.file_uri)


async def look_at_media(desk: Desk, media: Media | None, path: str) -> Seen:
    """Look at a picture of a predict call."""
    if media is None or not (media.bytes_base64_encoded or media.gcs_uri):
        raise invalid(f"{path} is missing: bytesBase64Encoded or gcsUri is required.")
    if media.mime_type is not None:
        _check_type(media.mime_type)
    if media.bytes_base64_encoded:
        return await _look(decode(media.bytes_base64_encoded, path))
    return await _read(desk, str(media.gcs_uri))


def decode(text: str, path: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{text[:40]}\""
        raise invalid(message) from error
    if len(data) > MAX_INLINE:
        raise invalid(f"The image at '{path}' has {len(data)} bytes; inline images may have at most {MAX_INLINE}.")
    return data


async def _read(desk: Desk, uri: str) -> Seen:
    if uri.startswith("gs://"):
        return unread(uri)
    if not uri.startswith(("http://", "https://")):
        raise invalid(f"Invalid file URI: {uri[:200]}")
    try:
        data = await desk.fetcher.read(uri)
    except Unreachable as error:
        raise invalid(f"Cannot fetch content from the provided URL: {uri[:200]}") from error
    if data is None:
        return unread(uri)
    if len(data) > MAX_FILE:
        raise invalid(f"The file at {uri[:200]} has {len(data)} bytes; files may have at most {MAX_FILE}.")
    return await _look(data)


def _check_type(mime_type: str | None) -> None:
    if mime_type not in MIME_TYPES:
        raise invalid(f"Unsupported MIME type: {mime_type or 'none given'}")


async def _look(data: bytes) -> Seen:
    try:
        return await asyncio.to_thread(look, data)
    except NotAPicture as error:
        raise invalid(UNREADABLE) from error
