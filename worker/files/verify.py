"""Whether a file is the piece that was promised: of its kind, whole, of its size. Decoding runs in threads.

`picture`, `video`, `audio` and `weights` decode one kind each. Every file passes here before it is stored.
"""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO
from urllib.parse import urlsplit

from worker.errors import BrokenPieceError
from worker.files.audio import see_audio
from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import ANYTHING, FORMATS, HEAD_BYTES, Format, by_ending, describe, sniff
from worker.files.picture import limit_pixels, see_picture
from worker.files.pieces import FoundFile
from worker.files.video import see_video
from worker.files.weights import see_weights
from worker.jobs.job import Kind, Piece

_SIZE_SLACK_PX = 32  # models round sizes to multiples of 16 or 32
_SIZE_SLACK = 0.04
_JSON_LIMIT_BYTES = 16 << 20
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
    """The most pixels that are decoded, and the number of threads."""

    most_pixels: int
    threads: int = 2


class Verifier:
    """Decodes in a few threads of its own, so that neither the loop nor its default executor waits for a picture."""

    def __init__(self, limits: VerifyLimits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="verify")
        limit_pixels(limits.most_pixels)

    async def check(self, found: FoundFile, file: BinaryIO, *, may_be_black: bool = False) -> FileInfo:
        """The file's format and size. Raises `BrokenPieceError`, which says what was promised and what was found."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, verify, found, file, self._limits.most_pixels, may_be_black
        )

    def close(self) -> None:
        """End the threads, each after its present file."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def verify(found: FoundFile, file: BinaryIO, most_pixels: int, may_be_black: bool = False) -> FileInfo:
    """`Verifier.check`, in the caller's thread."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        if not head:
            raise DefectError("an empty file", "wrong_type")
        form = _form(found, head)
        file.seek(0)
        seen = _see(file, form, most_pixels, may_be_black)
        _check_size(found.piece, seen)
    except DefectError as error:
        raise BrokenPieceError(f"{found.label}: {error}", kind=error.kind) from error
    return seen


def _form(found: FoundFile, head: bytes) -> Format:
    """The format to decode by: what the first bytes show for pictures and videos, the only one for the others."""
    kind = found.piece.kind
    if kind == "file":
        return _any_file(found)
    form = sniff(head) if kind in {"image", "video", "audio"} else _ONLY[kind]
    fits = {"weights": head[8:9] == b"{", "json": sniff(head) is ANYTHING and not head.lstrip().startswith(b"<")}
    if form.kind != kind or not fits.get(kind, True):
        raise DefectError(f"promised {_ARTICLES[kind]}, got {describe(head, found.content_type)}", "wrong_type")
    return form


def _any_file(found: FoundFile) -> Format:
    """Any format, with the ending of the file's name."""
    name = found.file_name or urlsplit(found.url).path
    ending = name.rpartition(".")[2].lower()
    return replace(by_ending(name), kind="file", ending=ending if _ENDING.fullmatch(ending) else ANYTHING.ending)


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
    for side, promised, is_so in (("width", piece.width, seen.width), ("height", piece.height, seen.height)):
        if promised and is_so and abs(is_so - promised) > max(_SIZE_SLACK_PX, promised * _SIZE_SLACK):
            raise DefectError(f"promised a {side} of {promised} px, got {is_so}")
    if piece.ratio and seen.width and seen.height:
        ratio = seen.width / seen.height
        if abs(ratio / piece.ratio - 1) > _SIZE_SLACK:
            raise DefectError(f"promised a shape of {piece.ratio:.3g} (width / height), got {ratio:.3g}")
