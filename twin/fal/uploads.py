"""Uploads under way: addresses handed out for one PUT, and multipart uploads piece by piece.

Bytes go to disk as they come.
"""

import hashlib
import secrets
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from twin.files import FileStore, TooLarge, Uploaded, new_path

MAX_OPEN = 64
"""Uploads begun and not finished; the oldest is given up."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece on disk."""

    file: Path
    size: int
    etag: str


@dataclass(slots=True)
class Begun:
    """An upload whose bytes are still to come: where it will stand, of which type, and the pieces so far."""

    path: str
    content_type: str
    pieces: dict[int, Piece] = field(default_factory=dict)


class Uploads:
    """Everything begun; finished uploads go to the file store."""

    def __init__(self, files: FileStore, max_open: int = MAX_OPEN) -> None:
        self._files, self._max_open = files, max_open
        self._begun: OrderedDict[str, Begun] = OrderedDict()

    @property
    def open_count(self) -> int:
        """How many uploads are under way."""
        return len(self._begun)

    def begin(self, file_name: str | None, content_type: str) -> tuple[str, str]:
        """Begin an upload; return its id and the path it will have."""
        upload_id, path = secrets.token_urlsafe(16), new_path(_tail(file_name))
        self._begun[upload_id] = Begun(path, content_type)
        while len(self._begun) > self._max_open:
            self._give_up(self._begun.popitem(last=False)[1])
        return upload_id, path

    def find(self, upload_id: str) -> Begun | None:
        """Return an upload under way."""
        return self._begun.get(upload_id)

    async def put_piece(self, begun: Begun, number: int, chunks: AsyncIterator[bytes]) -> Piece:
        """Write one piece; one sent again replaces the old one."""
        piece = await self._write(chunks)
        if old := begun.pieces.pop(number, None):
            old.file.unlink(missing_ok=True)
        begun.pieces[number] = piece
        return piece

    def finish(self, upload_id: str) -> str:
        """Put the pieces in order of their numbers into the store and return the path."""
        begun = self._begun.pop(upload_id)
        pieces = [begun.pieces[number] for number in sorted(begun.pieces)]
        size = sum(piece.size for piece in pieces)
        self._files.put_uploaded(begun.path, Uploaded(tuple(piece.file for piece in pieces), begun.content_type, size))
        return begun.path

    async def _write(self, chunks: AsyncIterator[bytes]) -> Piece:
        file, size, digest = self._files.folder / uuid.uuid4().hex, 0, hashlib.blake2b(digest_size=16)
        try:
            with file.open("wb") as target:
                async for chunk in chunks:
                    size += len(chunk)
                    digest.update(chunk)
                    if size > self._files.max_uploaded:
                        raise TooLarge(f"more than {self._files.max_uploaded} bytes")
                    target.write(chunk)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return Piece(file, size, f'"{digest.hexdigest()}"')

    def clear(self) -> None:
        """Give up everything under way."""
        for begun in self._begun.values():
            self._give_up(begun)
        self._begun.clear()

    @staticmethod
    def _give_up(begun: Begun) -> None:
        for piece in begun.pieces.values():
            piece.file.unlink(missing_ok=True)


def _tail(file_name: str | None) -> str:
    """Return the end of a path: the caller's name, without anything that could leave its folder."""
    plain = "".join(letter for letter in (file_name or "") if letter.isalnum() or letter in "._-")
    return f"_{plain[-80:]}" if plain.strip("._") else ""
