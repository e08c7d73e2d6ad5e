"""Whether an archive (zip, tar.gz) may be unpacked: how many entries, how large, how densely packed.

The headers are checked first. Then everything is unpacked into nothing, so that a false header is found. Nothing is
written. Blocking. Archives inside an archive are not opened.
"""

import gzip
import io
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from worker.files.file_info import DefectError
from worker.files.formats import Format

ZIP = Format("file", "application/zip", "zip")
TAR_GZ = Format("file", "application/gzip", "tar.gz")

_BLOCK_BYTES = 512  # of a tar
_CHUNK_BYTES = 64 << 10
_NAME_CHARACTERS = 255  # of an entry, its folders included; names go into rows and results
_DIRECTORY_BYTES = 512  # of a zip's directory, for each entry; one name may be longer, the average may not
_SMALL_BYTES = 1 << 20  # no ratio is too high for fewer bytes
_ENCRYPTED = 0x1
_DRIVE = re.compile("[A-Za-z]:")
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # other methods may unpack one chunk to any size
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold. `ratio` is unpacked bytes to packed ones."""

    entries: int = 10_000
    unpacked_bytes: int = 2_000_000_000
    ratio: float = 100


@dataclass(frozen=True)
class Contents:
    """What an archive turned out to hold."""

    form: Format
    entries: int
    unpacked_bytes: int


def is_archive(head: bytes) -> bool:
    """Whether the first bytes are those of a zip or of something gzipped."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b"))


def see_archive(file: BinaryIO, limits: ArchiveLimits) -> Contents:
    """What it holds. Raises `DefectError`: of kind `bomb` when it holds too much, `broken` when it cannot be read."""
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    is_zip = file.read(2) == b"PK"
    file.seek(0)
    count = _Count(limits, packed)
    with _as_defect():
        (_see_zip if is_zip else _see_tar_gz)(file, count)
    return Contents(ZIP if is_zip else TAR_GZ, count.entries, count.unpacked)


class _Count:
    """Counts entries and bytes, and raises when a limit is reached."""

    def __init__(self, limits: ArchiveLimits, packed: int) -> None:
        self.limits, self._packed = limits, packed
        self.entries = self.unpacked = 0

    def entry(self, name: str) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            raise DefectError(f"holds more than {self.limits.entries} files", "bomb")
        if len(name) > _NAME_CHARACTERS:
            raise DefectError(f"holds a file whose name has more than {_NAME_CHARACTERS} characters", "bomb")
        path = PurePosixPath(name.replace("\\", "/"))  # PowerShell writes backslashes between folders
        if path.is_absolute() or _DRIVE.match(name) or ".." in path.parts:
            raise DefectError("holds a file whose name leads out of the archive", "bomb")

    def check(self, unpacked: int) -> None:
        if unpacked > self.limits.unpacked_bytes:
            raise DefectError(f"unpacks to more than {self.limits.unpacked_bytes / 1e6:g} MB", "bomb")
        if unpacked > max(_SMALL_BYTES, self.limits.ratio * self._packed):
            raise DefectError(f"unpacks to more than {self.limits.ratio:g} times its size", "bomb")

    def take(self, size: int) -> None:
        self.unpacked += size
        self.check(self.unpacked)


def _see_zip(file: BinaryIO, count: _Count) -> None:
    with zipfile.ZipFile(_Narrow(file, count.limits.entries * _DIRECTORY_BYTES + (1 << 17))) as archive:
        infos = archive.infolist()
        for info in infos:
            count.entry(info.filename)
            if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
                raise DefectError("holds a file that is encrypted, or packed in a way that is not taken")
        count.check(sum(info.file_size for info in infos))
        for info in infos:
            with archive.open(info) as entry:
                while chunk := entry.read(_CHUNK_BYTES):
                    count.take(len(chunk))


def _see_tar_gz(file: BinaryIO, count: _Count) -> None:
    """Header by header: `tarfile` reads a long name whole into memory, whatever its announced length."""
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        while any(block := _read(unpacked, count, _BLOCK_BYTES)):
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            count.entry(info.name)
            if not (
                info.isreg()
                or info.isdir()
                or info.type in {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}
            ):
                raise DefectError("holds a link or a device")
            count.check(count.unpacked + info.size)
            for size in _pieces(-(-info.size // _BLOCK_BYTES) * _BLOCK_BYTES):
                _read(unpacked, count, size)
        while rest := unpacked.read(_CHUNK_BYTES):
            count.take(len(rest))


def _read(unpacked: gzip.GzipFile, count: _Count, size: int) -> bytes:
    chunk = unpacked.read(size)
    if len(chunk) < size:
        raise EOFError("it ends too early")
    count.take(size)
    return chunk


def _pieces(size: int) -> Iterator[int]:
    for start in range(0, size, _CHUNK_BYTES):
        yield min(_CHUNK_BYTES, size - start)


class _Narrow(io.RawIOBase):
    """Limits how many bytes one read returns: `zipfile` reads a whole directory in one piece."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int | None = -1) -> bytes:
        chunk = self._file.read(min(self._most + 1, self._most + 1 if size is None or size < 0 else size))
        if len(chunk) > self._most:
            raise DefectError("holds a directory that is too large", "bomb")
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


@contextmanager
def _as_defect() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DefectError(f"is not a whole zip or tar.gz ({type(error).__name__})") from error
