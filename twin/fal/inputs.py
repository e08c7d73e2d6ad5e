"""Reading what an input points at: pictures, LoRAs, training archives, anything with a URL.

Loopback addresses and our own files are really read, data URIs decoded. Other hosts are taken as good unread,
because the twin has no internet; so are Hugging Face names in a LoRA's path.
"""

import asyncio
import base64
import binascii
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import httpx
from PIL import Image, UnidentifiedImageError

from twin.draw import Lora
from twin.fal.errors import Refused, model_problem
from twin.fal.references import Kind, Reference, find_references
from twin.fal.sizes import Size
from twin.fetch import MAX_BYTES, Fetcher, Unreachable
from twin.files import FileStore
from twin.safetensors import NotSafetensors, read_metadata

AT_ONCE = 8
BACKDROP_SIDE = 320
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was found behind the URLs, as far as drawing needs it."""

    backdrop: bytes | None = None
    source_size: Size | None = None
    triggers: Mapping[str, str] | None = None

    def lora(self, path: str, scale: float) -> Lora:
        """Return a LoRA as it is written on the picture."""
        name = path.split(",")[0] if path.startswith("data:") else PurePosixPath(urlsplit(path).path).name or path
        return Lora(name[:60], scale, (self.triggers or {}).get(path))


class InputReader:
    """Reads the references of a job; keeps one HTTP client and a bound on reads at once."""

    def __init__(self, files: FileStore, http: httpx.AsyncClient, max_bytes: int = MAX_BYTES) -> None:
        self._fetcher = Fetcher(files, http, max_bytes)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def read(self, values: Mapping[str, Any]) -> Inputs:
        """Read and check every reference; raise Refused at the first that is no good."""
        backdrop, size, triggers = None, None, dict[str, str]()
        for reference in find_references(values):
            async with self._slots:
                data = await self._bytes_of(reference)
                if data is None:
                    continue
                if reference.kind is Kind.PICTURE:
                    small, found = await asyncio.to_thread(_check_picture, reference, data)
                    backdrop, size = backdrop or small, size or found
                elif reference.kind is Kind.WEIGHTS:
                    triggers[reference.url] = _check_weights(reference, data)
                elif reference.kind is Kind.ARCHIVE:
                    await asyncio.to_thread(_check_archive, reference, data)
        return Inputs(backdrop, size, {url: trigger for url, trigger in triggers.items() if trigger})

    async def _bytes_of(self, reference: Reference) -> bytes | None:
        url = reference.url
        if url.startswith("data:"):
            return _decode_data_uri(reference)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise Refused(_cannot_download(reference)) from error
        if parts.scheme not in ("http", "https"):
            if "://" in url or (reference.kind in (Kind.ARCHIVE, Kind.FILE) and reference.loc[-1] != "path"):
                raise Refused(_cannot_download(reference))
            return None
        try:
            data = await self._fetcher.read(url)
        except Unreachable as error:
            raise Refused(_cannot_download(reference)) from error
        if data is not None and len(data) > self._fetcher.max_bytes:
            raise Refused(_too_large(reference, self._fetcher.max_bytes))
        return data


def _decode_data_uri(reference: Reference) -> bytes:
    head, comma, body = reference.url.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error) as error:
        raise Refused(_cannot_download(reference)) from error


def _check_picture(reference: Reference, data: bytes) -> tuple[bytes, Size]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            size = image.size
            image.draft("RGB", (BACKDROP_SIDE, BACKDROP_SIDE))
            small = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        message = (
            "Failed to load the image. Please ensure the image file is not corrupted and is in a supported format."
        )
        raise Refused(model_problem(reference.loc, "image_load_error", message, reference.url[:200])) from error
    small.thumbnail((BACKDROP_SIDE, BACKDROP_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=75)
    return buffer.getvalue(), size


def _check_weights(reference: Reference, data: bytes) -> str:
    try:
        return read_metadata(data).get("trigger_word", "")
    except NotSafetensors as error:
        message = f"Failed to load LoRA weights: not a safetensors file ({error})."
        raise Refused(model_problem(reference.loc, "value_error", message, reference.url[:200])) from error


def _check_archive(reference: Reference, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            count = sum(name.lower().endswith(PICTURES) for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError) as error:
        message = "The archive could not be read. Please provide a valid zip file."
        ctx = {"supported_extensions": [".zip"]}
        raise Refused(model_problem(reference.loc, "invalid_archive", message, reference.url[:200], ctx)) from error
    if count < 1:
        message = f"The archive must contain at least 1 image, found {count}."
        counts = {"min_count": 1, "provided_count": count, "supported_extensions": list(PICTURES)}
        kind = "archive_file_count_below_minimum"
        raise Refused(model_problem(reference.loc, kind, message, reference.url[:200], counts))


def _cannot_download(reference: Reference) -> dict[str, Any]:
    message = "Failed to download the file. Please check if the URL is accessible and try again."
    return model_problem(reference.loc, "file_download_error", message, reference.url[:200])


def _too_large(reference: Reference, max_bytes: int) -> dict[str, Any]:
    message = f"File size exceeds the maximum allowed size of {max_bytes} bytes."
    return model_problem(reference.loc, "file_too_large", message, reference.url[:200], {"max_size": max_bytes})
