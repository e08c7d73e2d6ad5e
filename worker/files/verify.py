"""Whether a file is the piece that was promised: of its kind, whole, of its size.

Its pixels are counted before it is decoded. Small files are decoded in threads, large ones and HEIC by `decoding` in a
process of its own, as far as the memory for it goes. `picture`, `video`, `audio` and `weights` decode one kind each.
Every file passes here before it is stored.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO
from urllib.parse import urlsplit

from worker.errors import BrokenPieceError, ServiceUnavailableError
from worker.files.answer_files import announced_kind
from worker.files.archive import ZIP
from worker.files.audio import see_audio
from worker.files.convert import BYTES_A_PIXEL
from worker.files.decoding import convert_in_process, decode_in_process
from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import (
    ANYTHING,
    FORMATS,
    HEAD_BYTES,
    HEIC,
    Format,
    by_content_type,
    by_ending,
    describe,
    sniff,
)
from worker.files.heif import decoder_bytes
from worker.files.input_refs import is_inline
from worker.files.media import Media
from worker.files.memory_budget import MB, MemoryBudget
from worker.files.picture import limit_pixels, picture_header, see_picture
from worker.files.pieces import FoundFile
from worker.files.slots import BUSY
from worker.files.video import see_video
from worker.files.weights import see_weights
from worker.jobs.job import Kind, Piece

_SIZE_SLACK_PX = 32  # models round sizes to multiples of 16 or 32
_LENGTH_SLACK_S = 1.0
_LENGTH_SLACK = 0.15
_SIZE_SLACK = 0.04
_JSON_LIMIT_BYTES = 4 << 20  # parsed JSON takes up to twenty times its size
_LARGE_HEADER_BYTES = 1 << 20  # of weights; it is JSON, too
_MOST_HEADER_BYTES = 100 << 20  # by the format
_DECODED = frozenset({"image", "video", "audio"})
SMALL_BYTES = 64 * MB  # of memory: a picture of 16 megapixels
VIDEO_BYTES, AUDIO_BYTES, WEIGHTS_BYTES = 192 * MB, 96 * MB, 256 * MB
PATIENCE_S = 10.0  # for memory; then the row is released and comes again
_ENDING = re.compile("[a-z0-9]{1,12}")
_ONLY: Mapping[Kind, Format] = {form.kind: form for form in FORMATS if form.kind in {"weights", "json"}}
_ARTICLES = {
    "image": "an image",
    "video": "a video",
    "audio": "a sound",
    "weights": "weights (safetensors)",
    "json": "JSON",
    "file": "a file",
}


@dataclass(frozen=True)
class VerifyLimits:
    """The most pixels that are decoded, the number of threads, and the memory for larger files, in bytes."""

    most_pixels: int
    threads: int = 2
    memory_bytes: int = 512 * MB


class Verifier:
    """Decodes in a few threads and processes of its own, so that neither the loop nor others wait for a picture."""

    def __init__(self, limits: VerifyLimits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="verify")
        self._memory = MemoryBudget(limits.memory_bytes, patience_s=PATIENCE_S)
        limit_pixels(limits.most_pixels)

    async def check(
        self, found: FoundFile, file: BinaryIO, *, may_be_black: bool = False, tenant: str | None = None
    ) -> FileInfo:
        """The file's format and size. Raises `BrokenPieceError`, which says what was promised and what was found.

        Raises `ServiceUnavailableError` of kind `busy` when no memory came free for it: tenants share it.
        """
        may_be_black = may_be_black or (found.piece.as_found and not found.suspected)
        try:
            return await self._check(found, file, may_be_black, tenant)
        except BrokenPieceError as error:
            if not found.piece.as_found or error.kind != "broken" or is_announced(found):
                raise
            return FileInfo(any_file(found))  # its first bytes only look like those of a kind that is decoded

    async def _check(self, found: FoundFile, file: BinaryIO, may_be_black: bool, tenant: str | None) -> FileInfo:
        most_pixels = self._limits.most_pixels
        seen = await asyncio.get_running_loop().run_in_executor(
            self._threads, _verify_if_small, found, file, most_pixels, may_be_black
        )
        if isinstance(seen, FileInfo):
            return seen
        async with self._memory_for(found, seen, tenant):
            return await decode_in_process(found, file, most_pixels, may_be_black, seen)

    async def convert(
        self, found: FoundFile, file: BinaryIO, seen: FileInfo, taken: Collection[str], *, tenant: str | None = None
    ) -> Media:
        """A caller's picture, which was checked, in a format of `taken`. Raises as `check` does."""
        needed_bytes = SMALL_BYTES + (seen.width or 0) * (seen.height or 0) * BYTES_A_PIXEL
        async with self._memory_for(found, needed_bytes, tenant):
            return await convert_in_process(found, file, taken, self._limits.most_pixels, needed_bytes)

    @asynccontextmanager
    async def _memory_for(self, found: FoundFile, needed_bytes: int, tenant: str | None) -> AsyncIterator[None]:
        if needed_bytes > self._limits.memory_bytes:
            text = f"{found.label}: takes {needed_bytes / MB:.0f} MB to decode (KILNHAND_DECODE_MEMORY_MB)"
            raise BrokenPieceError(text, kind="too_many_pixels")
        reservation = await self._memory.take(needed_bytes, tenant)
        if reservation is None:
            raise ServiceUnavailableError(f"{found.label}: no memory to decode it now", kind=BUSY)
        try:
            yield
        finally:
            reservation.give_back()

    def close(self) -> None:
        """End the threads, each after its present file."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _verify_if_small(found: FoundFile, file: BinaryIO, most_pixels: int, may_be_black: bool) -> FileInfo | int:
    """What was seen; for a file that takes much memory to decode, how much."""
    with _as_broken(found):
        needed_bytes = _read_header(found, file, most_pixels)[1]
    return verify(found, file, most_pixels, may_be_black) if needed_bytes <= SMALL_BYTES else needed_bytes


def verify(found: FoundFile, file: BinaryIO, most_pixels: int, may_be_black: bool = False) -> FileInfo:
    """`Verifier.check`, in the caller's thread."""
    with _as_broken(found):
        form, _ = _read_header(found, file, most_pixels)
        file.seek(0)
        seen = _see(file, form, _most_of(found.piece, most_pixels), may_be_black)
        _check_size(found.piece, seen)
        _check_film(found.piece, seen)
        if found.piece.transparent and not seen.has_alpha:
            raise DefectError("promised a transparent picture, got one without an alpha channel")
    return seen


@contextmanager
def _as_broken(found: FoundFile) -> Iterator[None]:
    try:
        yield
    except DefectError as error:
        raise BrokenPieceError(f"{found.label}: {error}", kind=error.kind) from error


def _read_header(found: FoundFile, file: BinaryIO, most_pixels: int) -> tuple[Format, int]:
    """The format, and the bytes that decoding takes: 0 where it takes little. A picture's size is checked already."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise DefectError("an empty file", "wrong_type")
    form = _form(found, head)
    match form.kind:
        case "image" if form == HEIC:  # not in this process
            return form, SMALL_BYTES + 1 + decoder_bytes(file, most_pixels)
        case "image" if header := picture_header(file, form):
            seen, needed_bytes = header
            if (seen.width or 0) * (seen.height or 0) <= most_pixels:  # else `see_picture` refuses it
                _check_size(found.piece, seen)
            return form, needed_bytes if (seen.width or 0) * (seen.height or 0) <= most_pixels else 0
        case "video":
            return form, VIDEO_BYTES
        case "audio":
            return form, AUDIO_BYTES
        case "weights":
            return form, WEIGHTS_BYTES if int.from_bytes(head[:8], "little") > _LARGE_HEADER_BYTES else 0
    return form, 0


def _form(found: FoundFile, head: bytes) -> Format:
    """The format to decode by: what the first bytes show for pictures and videos, the only one for the others."""
    kind = found.piece.kind
    if found.piece.as_found:
        return _form_by_bytes(found, head)
    if kind == "file":
        form = any_file(found)
        return ZIP if form.ending == ANYTHING.ending and head.startswith(b"PK\x03\x04") else form
    form = sniff(head) if kind in {"image", "video", "audio"} else _ONLY[kind]
    fits = {"weights": head[8:9] == b"{", "json": sniff(head) is ANYTHING and not head.lstrip().startswith(b"<")}
    if form.kind != kind or not fits.get(kind, True):
        raise DefectError(f"promised {_ARTICLES[kind]}, got {describe(head, found.content_type)}", "wrong_type")
    return form


def _form_by_bytes(found: FoundFile, head: bytes) -> Format:
    """The format that the bytes show; any other file is kept by its name. HTML or JSON is no picture, but an error."""
    form = sniff(head)
    if form is not ANYTHING:
        return form
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= _MOST_HEADER_BYTES:
        return _ONLY["weights"]
    if is_announced(found) and head.lstrip().startswith((b"<", b"{", b"[")):
        raise DefectError(f"announced as a picture, video or sound, got {describe(head, '')}", "wrong_type")
    return any_file(found)


def is_announced(found: FoundFile) -> bool:
    """Whether the answer says that the file is of a kind that is decoded: by its type, its name or its URL."""
    return announced_kind(found.content_type, found.file_name, found.url) in _DECODED


def any_file(found: FoundFile) -> Format:
    """Any format, with the ending of the file's name."""
    name = found.file_name or ("" if is_inline(found.url) else urlsplit(found.url).path)
    named, ending = by_ending(name), name.rpartition(".")[2].lower()
    if named is ANYTHING and not _ENDING.fullmatch(ending):
        named = by_content_type(found.content_type)
        ending = named.ending
    return replace(named, kind="file", ending=ending)


def _most_of(piece: Piece, most_pixels: int) -> int:
    """The most pixels of a picture or a frame: the task's limit, or that of the worker."""
    return min(most_pixels, piece.most_megapixels * 1_000_000) if piece.most_megapixels else most_pixels


def _see(file: BinaryIO, form: Format, most_pixels: int, may_be_black: bool) -> FileInfo:
    match form.kind:
        case "image":
            return see_picture(file, form, most_pixels, may_be_black)
        case "video":
            return see_video(file, form, most_pixels)
        case "audio":
            return see_audio(file, form)
        case "weights":
            return see_weights(file, form)
        case "json":
            return _see_json(file, form)
        case "file":
            return FileInfo(form)


def _see_json(file: BinaryIO, form: Format) -> FileInfo:
    if file.seek(0, os.SEEK_END) > _JSON_LIMIT_BYTES:
        raise DefectError(f"JSON of more than {_JSON_LIMIT_BYTES >> 20} MB")
    file.seek(0)
    try:
        json.load(file)
    except (ValueError, RecursionError) as error:
        raise DefectError(f"does not parse as JSON ({error})") from error
    return FileInfo(form)


def _check_size(piece: Piece, seen: FileInfo) -> None:
    """Models round sizes: a side may differ by 32 px or 4 %, whichever is more, and a ratio by 4 %."""
    most = piece.most_megapixels
    if most and (seen.width or 0) * (seen.height or 0) > most * 1_000_000:
        raise DefectError(f"has more than {most} megapixels, the most for this task", "too_many_pixels")
    for side, promised, is_so in (("width", piece.width, seen.width), ("height", piece.height, seen.height)):
        if promised and is_so and abs(is_so - promised) > max(_SIZE_SLACK_PX, promised * _SIZE_SLACK):
            raise DefectError(f"promised a {side} of {promised} px, got {is_so}")
    if piece.ratio and seen.width and seen.height:
        ratio = seen.width / seen.height
        if abs(ratio / piece.ratio - 1) > _SIZE_SLACK:
            raise DefectError(f"promised a shape of {piece.ratio:.3g} (width / height), got {ratio:.3g}")


def _check_film(piece: Piece, seen: FileInfo) -> None:
    """A length may differ by a second or 15 %: models round to their own numbers of frames."""
    if piece.duration_s and seen.duration_s:
        slack_s = max(_LENGTH_SLACK_S, piece.duration_s * _LENGTH_SLACK)
        if abs(seen.duration_s - piece.duration_s) > slack_s:
            raise DefectError(f"promised {piece.duration_s:g} s, got {seen.duration_s:.1f} s")
    if piece.sound and not seen.has_sound:
        raise DefectError("promised sound, got a video without a sound track")
