"""Reads and checks the files that an input names: pictures, LoRAs, training archives, other URLs.

The twin's own files and loopback addresses are read, data URIs are decoded. Files on other hosts are accepted without
reading, because the twin has no internet access; so are Hugging Face names in the path of a LoRA.
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

from twin.fal.errors import Refused, model_problem
from twin.fal.file_references import FileKind, FileReference, find_file_references
from twin.fal.sizes import Size
from twin.fetch import MAX_BYTES, Fetcher, Unreachable
from twin.file_store import FileStore
from twin.picture import Lora
from twin.safetensors import NotSafetensors, read_metadata

MAX_CONCURRENT_READS = 8
BACKDROP_SIDE = 320
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The facts about the input files that drawing needs."""

    backdrop: bytes | None = None
    source_size: Size | None = None
    triggers: Mapping[str, str] | None = None
    source: bytes | None = None
    """The first picture of the input that is no mask, as it came."""
    mask: bytes | None = None
    pictures: tuple[bytes, ...] = ()
    """All pictures that were read and are no mask, in order."""

    def lora(self, path: str, scale: float) -> Lora:
        """Return a LoRA as it is written on the picture."""
        name = path.split(",")[0] if path.startswith("data:") else PurePosixPath(urlsplit(path).path).name or path
        return Lora(name[:60], scale, (self.triggers or {}).get(path))


class InputReader:
    """Reads the files of jobs through one HTTP client, with a limit on concurrent reads."""

    def __init__(self, files: FileStore, http: httpx.AsyncClient, max_bytes: int = MAX_BYTES) -> None:
        self._fetcher = Fetcher(files, http, max_bytes)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_READS)

    async def read(self, values: Mapping[str, Any]) -> InputFiles:
        """Read and check all files of an input; raise Refused for the first bad one."""
        backdrop, size, triggers = None, None, dict[str, str]()
        mask, pictures = None, list[bytes]()
        for reference in find_file_references(values):
            async with self._slots:
                data = await self._bytes_of(reference)
                if data is None:
                    continue
                if reference.kind is FileKind.PICTURE:
                    small, found = await asyncio.to_thread(_check_picture, reference, data)
                    if "mask" in str(reference.loc[-1]):
                        mask = data
                        continue
                    backdrop, size = backdrop or small, size or found
                    pictures.append(data)
                elif reference.kind is FileKind.WEIGHTS:
                    triggers[reference.url] = _check_weights(reference, data)
                elif reference.kind is FileKind.ARCHIVE:
                    await asyncio.to_thread(_check_archive, reference, data)
        known = {url: trigger for url, trigger in triggers.items() if trigger}
        return InputFiles(backdrop, size, known, pictures[0] if pictures else None, mask, tuple(pictures))

    async def _bytes_of(self, reference: FileReference) -> bytes | None:
        url = reference.url
        if url.startswith("data:"):
            return _decode_data_uri(reference)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise Refused(_cannot_download(reference)) from error
        if parts.scheme not in ("http", "https"):
            if "://" in url or (reference.kind in (FileKind.ARCHIVE, FileKind.FILE) and reference.loc[-1] != "path"):
                raise Refused(_cannot_download(reference))
            return None
        try:
            data = await self._fetcher.read(url)
        except Unreachable as error:
            raise Refused(_cannot_download(reference)) from error
        if data is not None and len(data) > self._fetcher.max_bytes:
            raise Refused(_too_large(reference, self._fetcher.max_bytes))
        return data


def _decode_data_uri(reference: FileReference) -> bytes:
    head, comma, body = reference.url.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error) as error:
        raise Refused(_cannot_download(reference)) from error


def _check_picture(reference: FileReference, data: bytes) -> tuple[bytes, Size]:
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


def _check_weights(reference: FileReference, data: bytes) -> str:
    try:
        return read_metadata(data).get("trigger_word", "")
    except NotSafetensors as error:
        message = f"Failed to load LoRA weights: not a safetensors file ({error})."
        raise Refused(model_problem(reference.loc, "value_error", message, reference.url[:200])) from error


def _check_archive(reference: FileReference, data: bytes) -> None:
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


def _cannot_download(reference: FileReference) -> dict[str, Any]:
    message = "Failed to download the file. Please check if the URL is accessible and try again."
    return model_problem(reference.loc, "file_download_error", message, reference.url[:200])


def _too_large(reference: FileReference, max_bytes: int) -> dict[str, Any]:
    message = f"File size exceeds the maximum allowed size of {max_bytes} bytes."
    return model_problem(reference.loc, "file_too_large", message, reference.url[:200], {"max_size": max_bytes})
