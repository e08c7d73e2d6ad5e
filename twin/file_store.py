"""The files behind the twin's URLs: uploads of callers, and files that models generated.

Uploads are on disk within a byte limit; above it the least recently used is deleted. A generated file is stored as a
`Drawable` for as long as its request is kept. Its bytes are drawn in the run or when they are fetched, and are in a
small cache, because drawing again gives the same bytes.
"""

import asyncio
import secrets
import shutil
import tempfile
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MAX_UPLOADED = 512 * 1024 * 1024
MAX_DRAWN = 64 * 1024 * 1024


class Drawable(Protocol):
    """A file that can be drawn at any time, always to the same bytes."""

    @property
    def content_type(self) -> str:
        """The media type of the bytes that `render` returns."""

    def render(self) -> bytes:
        """Return the bytes; takes CPU time, so it runs in a thread."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file whose bytes are known already."""

    data: bytes
    content_type: str

    def render(self) -> bytes:
        """Return the bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file that a model generated, and the endpoint of that model."""

    drawable: Drawable
    endpoint: str


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that a caller uploaded: one or more parts on disk, in order."""

    parts: tuple[Path, ...]
    content_type: str
    size: int


class TooLarge(ValueError):
    """An upload that is larger than the limit for all uploads."""


class FileStore:
    """All files, by the path of their URL."""

    def __init__(self, max_uploaded: int = MAX_UPLOADED, max_drawn: int = MAX_DRAWN) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="twin-"))
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.max_uploaded, self._max_drawn = max_uploaded, max_drawn
        self._uploaded: OrderedDict[str, UploadedFile] = OrderedDict()
        self._generated: dict[str, GeneratedFile] = {}
        self._drawn: OrderedDict[str, bytes] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    def add_generated(self, drawable: Drawable, endpoint: str, suffix: str) -> str:
        """Store a drawable file and return its path, which ends in `suffix`."""
        path = new_path(suffix)
        self._generated[path] = GeneratedFile(drawable, endpoint)
        return path

    def drop_generated(self, path: str) -> None:
        """Drop a generated file."""
        self._generated.pop(path, None)
        self._drawn.pop(path, None)

    def add_uploaded(self, path: str, file: UploadedFile) -> None:
        """Store an upload under a path of `new_path`; delete the least recently used to make room; raise TooLarge."""
        if file.size > self.max_uploaded:
            self._unlink(file)
            raise TooLarge(f"{file.size} bytes; the twin keeps at most {self.max_uploaded}")
        if old := self._uploaded.pop(path, None):
            self._unlink(old)
        self._uploaded[path] = file
        while self.uploaded_bytes > self.max_uploaded:
            self._unlink(self._uploaded.popitem(last=False)[1])

    def find(self, path: str) -> GeneratedFile | UploadedFile | None:
        """Return the file with this path."""
        if path in self._uploaded:
            self._uploaded.move_to_end(path)
            return self._uploaded[path]
        return self._generated.get(path)

    async def draw(self, path: str, generated: GeneratedFile) -> bytes:
        """Return the bytes of a generated file; concurrent callers share one drawing."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        async with lock:
            data = self._drawn.get(path)
            if data is None:
                data = self._drawn[path] = await asyncio.to_thread(generated.drawable.render)
                self._trim_drawn()
            if path in self._drawn:
                self._drawn.move_to_end(path)
        self._locks.pop(path, None)
        return data

    async def read(self, path: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes of a file; None if there is no such file."""
        found = self.find(path)
        if isinstance(found, GeneratedFile):
            return (await self.draw(path, found))[:limit]
        return await asyncio.to_thread(_read_parts, found.parts, limit) if found else None

    @property
    def uploaded_bytes(self) -> int:
        """Bytes of all uploads on disk."""
        return sum(file.size for file in self._uploaded.values())

    @property
    def drawn_bytes(self) -> int:
        """Bytes in the cache of drawn files."""
        return sum(map(len, self._drawn.values()))

    @property
    def generated_count(self) -> int:
        """How many generated files are stored."""
        return len(self._generated)

    def clear(self) -> None:
        """Drop all files."""
        for file in self._uploaded.values():
            self._unlink(file)
        for memory in (self._uploaded, self._generated, self._drawn):
            memory.clear()

    def close(self) -> None:
        """Remove the folder, which otherwise happens when the process ends."""
        self._remove_folder()

    def _trim_drawn(self) -> None:
        while len(self._drawn) > 1 and self.drawn_bytes > self._max_drawn:
            self._drawn.popitem(last=False)

    @staticmethod
    def _unlink(file: UploadedFile) -> None:
        for part in file.parts:
            part.unlink(missing_ok=True)


def new_path(suffix: str) -> str:
    """Return a random path as fal's CDN has them: `files/b/{8 hex digits}/{21 characters}{suffix}`."""
    return f"files/b/{secrets.token_hex(4)}/{secrets.token_urlsafe(16)[:21]}{suffix}"


def _read_parts(parts: tuple[Path, ...], limit: int) -> bytes:
    data = bytearray()
    for part in parts:
        with part.open("rb") as file:
            data += file.read(limit - len(data))
    return bytes(data)
