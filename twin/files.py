"""The files behind our URLs: what callers uploaded, on disk, and what models made, drawn in the run or when fetched.

Both are bounded. Uploads share a byte budget and the least recently used goes first; recipes live as long as the
request that made them; drawn bytes sit in a small cache, because drawing again gives the same bytes.
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


class Recipe(Protocol):
    """Something that can be drawn, at any time, to the same bytes."""

    @property
    def content_type(self) -> str:
        """The media type of `render`'s bytes."""

    def render(self) -> bytes:
        """Draw; costs processor time, so it runs in a thread."""


@dataclass(frozen=True, slots=True)
class Static:
    """Bytes that need no drawing."""

    data: bytes
    content_type: str

    def render(self) -> bytes:
        """Return the bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class Made:
    """A model's file and the endpoint that made it."""

    recipe: Recipe
    endpoint: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A caller's file: one or more pieces on disk, in order."""

    pieces: tuple[Path, ...]
    content_type: str
    size: int


class TooLarge(ValueError):
    """An upload that is larger than everything we keep."""


class FileStore:
    """All files, by the path of their URL."""

    def __init__(self, max_uploaded: int = MAX_UPLOADED, max_drawn: int = MAX_DRAWN) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="twin-"))
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.max_uploaded, self._max_drawn = max_uploaded, max_drawn
        self._uploaded: OrderedDict[str, Uploaded] = OrderedDict()
        self._made: dict[str, Made] = {}
        self._drawn: OrderedDict[str, bytes] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    def put_made(self, recipe: Recipe, endpoint: str, tail: str) -> str:
        """Keep a recipe and return its path, which ends in `tail`."""
        path = new_path(tail)
        self._made[path] = Made(recipe, endpoint)
        return path

    def drop_made(self, path: str) -> None:
        """Forget a recipe."""
        self._made.pop(path, None)
        self._drawn.pop(path, None)

    def put_uploaded(self, path: str, file: Uploaded) -> None:
        """Keep an upload under a path that `new_path` gave; drop the least recently used to make room."""
        if file.size > self.max_uploaded:
            self._unlink(file)
            raise TooLarge(f"{file.size} bytes; the twin keeps at most {self.max_uploaded}")
        if old := self._uploaded.pop(path, None):
            self._unlink(old)
        self._uploaded[path] = file
        while self.uploaded_bytes > self.max_uploaded:
            self._unlink(self._uploaded.popitem(last=False)[1])

    def find(self, path: str) -> Made | Uploaded | None:
        """Return what stands behind a path."""
        if path in self._uploaded:
            self._uploaded.move_to_end(path)
            return self._uploaded[path]
        return self._made.get(path)

    async def draw(self, path: str, made: Made) -> bytes:
        """Return a made file's bytes; many callers at once draw once."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        async with lock:
            data = self._drawn.get(path)
            if data is None:
                data = self._drawn[path] = await asyncio.to_thread(made.recipe.render)
                self._trim_drawn()
            if path in self._drawn:
                self._drawn.move_to_end(path)
        self._locks.pop(path, None)
        return data

    async def read(self, path: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes behind a path, None when there is nothing."""
        found = self.find(path)
        if isinstance(found, Made):
            return (await self.draw(path, found))[:limit]
        return await asyncio.to_thread(_read_pieces, found.pieces, limit) if found else None

    @property
    def uploaded_bytes(self) -> int:
        """Bytes of all uploads on disk."""
        return sum(file.size for file in self._uploaded.values())

    @property
    def drawn_bytes(self) -> int:
        """Bytes of the cache of drawn files."""
        return sum(map(len, self._drawn.values()))

    @property
    def made_count(self) -> int:
        """How many recipes are kept."""
        return len(self._made)

    def clear(self) -> None:
        """Forget every file."""
        for file in self._uploaded.values():
            self._unlink(file)
        for memory in (self._uploaded, self._made, self._drawn):
            memory.clear()

    def close(self) -> None:
        """Remove the folder; at the latest this happens when the process ends."""
        self._remove_folder()

    def _trim_drawn(self) -> None:
        while len(self._drawn) > 1 and self.drawn_bytes > self._max_drawn:
            self._drawn.popitem(last=False)

    @staticmethod
    def _unlink(file: Uploaded) -> None:
        for piece in file.pieces:
            piece.unlink(missing_ok=True)


def new_path(tail: str) -> str:
    """Return a path in the shape of fal's: `files/b/{8 hex}/{21 characters}` and a tail."""
    return f"files/b/{secrets.token_hex(4)}/{secrets.token_urlsafe(16)[:21]}{tail}"


def _read_pieces(pieces: tuple[Path, ...], limit: int) -> bytes:
    data = bytearray()
    for piece in pieces:
        with piece.open("rb") as file:
            data += file.read(limit - len(data))
    return bytes(data)
