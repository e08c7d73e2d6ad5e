"""Decodes a file in a process of its own, which can be killed.

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
from dataclasses import asdict, replace
from typing import BinaryIO, cast

from worker.errors import BrokenPieceError, ServiceUnavailableError
from worker.files.file_info import FileInfo
from worker.files.formats import Format
from worker.files.pieces import FoundFile
from worker.files.spool import as_disk_error

DECODE_S = 60.0


async def decode_in_process(
    found: FoundFile, file: BinaryIO, most_pixels: int, may_be_black: bool, most_bytes: int
) -> FileInfo:
    """What `verify` returns or raises. A child that takes too long or too much memory is a `BrokenPieceError`."""
    asked = {
        "found": asdict(replace(found, url="", content_type=found.content_type[:100], file_name="")),
        "most_pixels": most_pixels,
        "may_be_black": may_be_black,
        "most_bytes": most_bytes,
    }
    on_disk = await asyncio.to_thread(_on_disk, file)
    try:
        returncode, output = await _run(json.dumps({**asked, "file": on_disk.fileno()}), on_disk.fileno())
    finally:
        if on_disk is not file:
            on_disk.close()
    return _read(found, returncode, output)


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


async def _run(asked: str, number: int) -> tuple[int, bytes]:
    try:
        process = await _start(asked, number)
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


async def _start(asked: str, number: int) -> asyncio.subprocess.Process:
    nothing, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    search_path = os.pathsep.join(filter(None, sys.path))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.files.decode_process", asked),
        pass_fds=[number],
        stdin=nothing,
        stdout=pipe,
        stderr=nothing,
        env={"PYTHONPATH": search_path, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _read(found: FoundFile, returncode: int, output: bytes) -> FileInfo:
    if returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        what = "time" if returncode == -signal.SIGXCPU else "memory"
        raise BrokenPieceError(f"{found.label}: takes too much {what} to decode", kind="bomb")
    if returncode in {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}:
        raise ServiceUnavailableError(f"{found.label}: its decoder was ended", kind="decoder")
    try:
        said = json.loads(output)
    except ValueError:
        text = f"{found.label}: could not be decoded (exit code {returncode})"
        raise BrokenPieceError(text, kind="broken") from None
    if "error" in said:
        raise BrokenPieceError(said["error"], kind=said["kind"])
    return FileInfo(**{**said, "form": Format(**said["form"])})
