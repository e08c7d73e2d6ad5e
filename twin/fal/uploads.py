"""Open uploads: URLs for one PUT, and multipart uploads.

Bytes are written to disk as they arrive.
"""

import hashlib
import secrets
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from twin.file_store import FileStore, TooLarge, UploadedFile, new_path

MAX_OPEN = 64
"""The limit of open uploads; above it the oldest is discarded."""


@dataclass(frozen=True, slots=True)
class UploadPart:
    """One part of an upload, on disk."""

    file: Path
    size: int
    etag: str


@dataclass(slots=True)
class OpenUpload:
    """An upload that is not complete: its future path, its media type, and its parts until now."""

    path: str
    content_type: str
    parts: dict[int, UploadPart] = field(default_factory=dict)


class Uploads:
    """All open uploads; a finished one goes to the file store."""

    def __init__(self, files: FileStore, max_open: int = MAX_OPEN) -> None:
        self._files, self._max_open = files, max_open
        self._open: OrderedDict[str, OpenUpload] = OrderedDict()

    @property
    def open_count(self) -> int:
        """How many uploads are open."""
        return len(self._open)

    def begin(self, file_name: str | None, content_type: str) -> tuple[str, str]:
        """Open an upload; return its id and the path that its file will have."""
        upload_id, path = secrets.token_urlsafe(16), new_path(_path_suffix(file_name))
        self._open[upload_id] = OpenUpload(path, content_type)
        while len(self._open) > self._max_open:
            self._discard(self._open.popitem(last=False)[1])
        return upload_id, path

    def find(self, upload_id: str) -> OpenUpload | None:
        """Return an open upload; None if the id is unknown."""
        return self._open.get(upload_id)

    async def add_part(self, upload: OpenUpload, number: int, chunks: AsyncIterator[bytes]) -> UploadPart:
        """Write one part; a part with the same number is replaced."""
        part = await self._write(chunks)
        if old := upload.parts.pop(number, None):
            old.file.unlink(missing_ok=True)
        upload.parts[number] = part
        return part

    def finish(self, upload_id: str) -> str:
        """Store the parts, in order of their numbers, as a file; return its path."""
        upload = self._open.pop(upload_id)
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        size = sum(part.size for part in parts)
        self._files.add_uploaded(
            upload.path, UploadedFile(tuple(part.file for part in parts), upload.content_type, size)
        )
        return upload.path

    async def _write(self, chunks: AsyncIterator[bytes]) -> UploadPart:
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
        return UploadPart(file, size, f'"{digest.hexdigest()}"')

    def clear(self) -> None:
        """Discard all open uploads."""
        for upload in self._open.values():
            self._discard(upload)
        self._open.clear()

    @staticmethod
    def _discard(upload: OpenUpload) -> None:
        for part in upload.parts.values():
            part.file.unlink(missing_ok=True)


def _path_suffix(file_name: str | None) -> str:
    """Return the end of a path: the caller's file name without characters that could leave its folder."""
    plain = "".join(letter for letter in (file_name or "") if letter.isalnum() or letter in "._-")
    return f"_{plain[-80:]}" if plain.strip("._") else ""
