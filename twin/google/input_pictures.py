"""Reads the pictures of a request, with Google's error messages for bad ones."""

import asyncio
import base64
import binascii

from twin.call_service import CallService
from twin.fetch import Unreachable
from twin.google.errors import invalid
from twin.google.request import Blob, FileData, Media
from twin.input_picture import InputPicture, NotAPicture, inspect, unread_picture

MIME_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
MAX_INLINE = 7 * 1024 * 1024
MAX_FILE = 30 * 1024 * 1024
UNREADABLE = "Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"


async def read_inline_picture(blob: Blob, path: str) -> InputPicture:
    """Decode a picture inside the request; raise Refused."""
    _check_type(blob.mime_type)
    return await _inspect(decode(blob.data, f"{path}.inline_data.data"))


async def read_linked_picture(service: CallService, file: FileData) -> InputPicture:
    """Read a picture behind a URI; raise Refused. One in a bucket or on a foreign host is accepted without reading."""
    _check_type(file.mime_type)
    return await _read(service, file.file_uri)


async def read_media_picture(service: CallService, media: Media | None, path: str) -> InputPicture:
    """Read a picture of a predict call; raise Refused."""
    if media is None or not (media.bytes_base64_encoded or media.gcs_uri):
        raise invalid(f"{path} is missing: bytesBase64Encoded or gcsUri is required.")
    if media.mime_type is not None:
        _check_type(media.mime_type)
    if media.bytes_base64_encoded:
        return await _inspect(decode(media.bytes_base64_encoded, path))
    return await _read(service, str(media.gcs_uri))


def decode(text: str, path: str) -> bytes:
    """Decode base64, standard or URL-safe, with or without padding; raise Refused."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{text[:40]}\""
        raise invalid(message) from error
    if len(data) > MAX_INLINE:
        raise invalid(f"The image at '{path}' has {len(data)} bytes; inline images may have at most {MAX_INLINE}.")
    return data


async def _read(service: CallService, uri: str) -> InputPicture:
    if uri.startswith("gs://"):
        return unread_picture(uri)
    if not uri.startswith(("http://", "https://")):
        raise invalid(f"Invalid file URI: {uri[:200]}")
    try:
        data = await service.fetcher.read(uri)
    except Unreachable as error:
        raise invalid(f"Cannot fetch content from the provided URL: {uri[:200]}") from error
    if data is None:
        return unread_picture(uri)
    if len(data) > MAX_FILE:
        raise invalid(f"The file at {uri[:200]} has {len(data)} bytes; files may have at most {MAX_FILE}.")
    return await _inspect(data)


def _check_type(mime_type: str | None) -> None:
    if mime_type not in MIME_TYPES:
        raise invalid(f"Unsupported MIME type: {mime_type or 'none given'}")


async def _inspect(data: bytes) -> InputPicture:
    try:
        return await asyncio.to_thread(inspect, data)
    except NotAPicture as error:
        raise invalid(UNREADABLE) from error
