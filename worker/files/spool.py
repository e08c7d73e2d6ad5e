"""A file while it is downloaded: counted, hashed, limited in size, removed when closed.

A small file stays in memory, a large one is a temporary file on the disk. A full temporary folder is a passing error.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, cast

import structlog

from worker.errors import BrokenPieceError, ServiceUnavailableError

log = structlog.get_logger(__name__)

DISK = "disk"  # the `kind` of the error of a temporary folder that takes no file now
_IN_MEMORY_BYTES = 1 << 20


class Spool:
    """Bytes received so far, with their number and sha256."""

    def __init__(
        self,
        label: str,
        limit_bytes: int,
        folder: Path | None = None,
        setting: str = " (KILNHAND_MAX_FILE_MB)",
        path: Path | None = None,
    ) -> None:
        """Refuse more than `limit_bytes`; `setting` names the setting in the message. Large files are made in `folder`.

        With a `path`, all bytes go there, and the caller removes the file.
        """
        self._label, self._limit_bytes, self._setting = label, limit_bytes, setting
        self._hash = hashlib.sha256()
        with as_disk_error():
            self._file = path.open("w+b") if path else _temporary(folder)
        self.bytes = 0

    async def write(self, chunk: bytes) -> None:
        """Add a chunk. Writes to the disk run in a thread.

        Raises `BrokenPieceError` past the limit, and `ServiceUnavailableError` of kind `disk` for a full disk.
        """
        self.expect(self.bytes + len(chunk))
        self.bytes += len(chunk)
        self._hash.update(chunk)
        with as_disk_error():
            if self.bytes <= _IN_MEMORY_BYTES:
                self._file.write(chunk)
            else:
                await asyncio.to_thread(self._file.write, chunk)

    def expect(self, size: int) -> None:
        """Raise `BrokenPieceError` when a file of so many bytes is too large."""
        if size > self._limit_bytes:
            limit = f"{self._limit_bytes / 1e6:g} MB{self._setting}"
            raise BrokenPieceError(f"{self._label}: larger than the limit of {limit}", kind="too_large")

    @property
    def file(self) -> BinaryIO:
        """The bytes as a file, from their beginning. A file with a path is complete on the disk."""
        with as_disk_error():  # writes what is buffered
            self._file.seek(0)
        return cast(BinaryIO, self._file)

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far, in hexadecimal."""
        return self._hash.hexdigest()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._file.close()
        except OSError:  # a full disk does not take what is still buffered; the file is removed anyway
            log.warning("temporary_file_not_closed", exc_info=True)


@contextmanager
def as_disk_error() -> Iterator[None]:
    """An `OSError` of the temporary folder as `ServiceUnavailableError` of kind `disk`: a later try may succeed."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ServiceUnavailableError(f"the temporary folder of the worker failed: {why}", kind=DISK) from error


def _temporary(folder: Path | None) -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, dir=str(folder) if folder else None)
