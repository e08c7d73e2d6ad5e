"""Finds the files that an input names, by the names of its fields, at any depth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twin.fal.validate import Loc


class FileKind(StrEnum):
    """The kind that a referenced file must have."""

    PICTURE = "picture"
    WEIGHTS = "weights"
    ARCHIVE = "archive"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class FileReference:
    """One URL in an input."""

    loc: Loc
    url: str
    kind: FileKind


def find_file_references(values: Mapping[str, Any]) -> Iterator[FileReference]:
    """Yield all file URLs of an input."""
    yield from _walk(values, ("body",), "", "")


def _walk(value: Any, loc: Loc, name: str, parent: str) -> Iterator[FileReference]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _walk(entry, (*loc, str(key)), str(key), name)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _walk(entry, (*loc, index), name, name)
    elif isinstance(value, str) and value and (kind := file_kind(name, parent)):
        yield FileReference(loc, value, kind)


def file_kind(name: str, parent: str) -> FileKind | None:
    """Return the kind of file that a field of this name holds; None for fields without a URL."""
    if name == "path":
        return FileKind.WEIGHTS if parent == "loras" else FileKind.FILE
    if name in ("model_image", "garment_image"):
        return FileKind.PICTURE
    if not name.endswith(("_url", "_urls")):
        return None
    if "data_url" in name:
        return FileKind.ARCHIVE
    return FileKind.PICTURE if "image" in name or "mask" in name else FileKind.FILE
