"""Decodes or converts a file in a process of its own, which can be killed.

The child has a limit of memory and of time, a low priority, and nothing of our environment. When its memory or its time
is over, one file is refused, and the worker goes on.
"""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any, BinaryIO, cast

from worker.errors import BrokenPieceError, ServiceUnavailableError
from worker.files.convert import BYTES_A_PIXEL
from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format
from worker.files.media import Media
from worker.files.pieces import FoundFile
from worker.files.spool import as_disk_error
from worker.jobs.job import Piece

DECODE_S = 60.0


async def decode_in_process(
    found: FoundFile, file: BinaryIO, most_pixels: int, may_be_black: bool, most_bytes: int
) -> FileInfo:
    """What `verify` returns or raises. A child that takes too long or too much memory is a `BrokenPieceError`."""
    asked = _asked(found, most_pixels, may_be_black, most_bytes)
    return _file_info(_read(found, *await _with_file(asked, file)))


async def convert_in_process(
    found: FoundFile, file: BinaryIO, taken: Collection[str], most_pixels: int, most_bytes: int
) -> Media:
    """The caller's picture in a format of `taken` (see `convert`). Raises as `decode_in_process` does."""
    with as_disk_error(), cast(BinaryIO, tempfile.TemporaryFile()) as into:
        asked = {**_asked(found, most_pixels, True, most_bytes), "taken": sorted(taken)}
        said = _read(found, *await _with_file(asked, file, into))
        _read_anew(into)
        return Media(await asyncio.to_thread(into.read), said["content_type"])


def convert_apart(name: str, data: bytes, taken: Collection[str], most_pixels: int) -> Media:
    """`convert_in_process` for a thread without an event loop. Raises `DefectError` for what cannot be converted."""
    found = FoundFile(Piece(name, "image", "picture"), 0, "")
    try:
        return asyncio.run(convert_in_process(found, io.BytesIO(data), taken, most_pixels, most_pixels * BYTES_A_PIXEL))
    except BrokenPieceError as error:
        raise DefectError(error.message.removeprefix(f"{found.label}: "), error.kind or "broken") from error


def _asked(found: FoundFile, most_pixels: int, may_be_black: bool, most_bytes: int) -> dict[str, Any]:
    return {
        "found": asdict(replace(found, url="", content_type=found.content_type[:100], file_name="")),
        "most_pixels": most_pixels,
        "may_be_black": may_be_black,
        "most_bytes": most_bytes,
    }


async def _with_file(asked: dict[str, Any], file: BinaryIO, into: BinaryIO | None = None) -> tuple[int, bytes]:
    on_disk = await asyncio.to_thread(_on_disk, file)
    numbers = {"file": on_disk.fileno(), **({"into": into.fileno()} if into else {})}
    try:
        return await _run(json.dumps({**asked, **numbers}), list(numbers.values()))
    finally:
        if on_disk is not file:
            on_disk.close()
        _read_anew(file)


def _read_anew(file: BinaryIO) -> None:
    """Go to the first byte. The decoder has moved the place in the file, which it shares, and a buffer does not know.

    `seek(0)` alone may stay inside the buffer: what is read then is the buffer, and nothing after it.
    """
    file.seek(0, os.SEEK_END)
    file.seek(0)


def _on_disk(file: BinaryIO) -> BinaryIO:
    """The file itself, or a copy of one that is in memory only. A spool is written to the disk by this."""
    with as_disk_error():
        try:
            file.fileno()
        except io.UnsupportedOperation:
            file.seek(0)
            copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # the caller closes it
            try:
                shutil.copyfileobj(file, copy)
                copy.flush()
            except OSError:
                copy.close()
                raise
            return copy
    return file


async def _run(asked: str, numbers: list[int]) -> tuple[int, bytes]:
    try:
        process = await _start(asked, numbers)
    except OSError as error:  # no memory or no process for it now
        raise ServiceUnavailableError(f"no decoder could be started: {error.strerror}", kind="decoder") from error
    try:
        async with asyncio.timeout(DECODE_S):
            output, _ = await process.communicate()
        return process.returncode or 0, output
    except TimeoutError:
        return -signal.SIGXCPU, b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _start(asked: str, numbers: list[int]) -> asyncio.subprocess.Process:
    nothing, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    search_path = os.pathsep.join(filter(None, sys.path))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.files.decode_process", asked),
        pass_fds=numbers,
        stdin=nothing,
        stdout=pipe,
        stderr=nothing,
        env={"PYTHONPATH": search_path, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _read(found: FoundFile, returncode: int, output: bytes) -> dict[str, Any]:
    if returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        what = "time" if returncode == -signal.SIGXCPU else "memory"
        raise BrokenPieceError(f"{found.label}: takes too much {what} to decode", kind="bomb")
    if returncode in {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}:
        raise ServiceUnavailableError(f"{found.label}: its decoder was ended", kind="decoder")
    try:
        said: dict[str, Any] = json.loads(output)
    except ValueError:
        text = f"{found.label}: could not be decoded (exit code {returncode})"
        raise BrokenPieceError(text, kind="broken") from None
    if "error" in said:
        raise BrokenPieceError(said["error"], kind=said["kind"])
    return said


def _file_info(said: dict[str, Any]) -> FileInfo:
    return FileInfo(**{**said, "form": Format(**said["form"])})
