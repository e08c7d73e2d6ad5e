"""Finding what an input points at: by the names of its fields, in any depth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twin.fal.validate import Loc


class Kind(StrEnum):
    """What a referenced file must be."""

    PICTURE = "picture"
    WEIGHTS = "weights"
    ARCHIVE = "archive"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """One URL of an input."""

    loc: Loc
    url: str
    kind: Kind


def find_references(values: Mapping[str, Any]) -> Iterator[Reference]:
    """Walk an input and yield everything that points at a file."""
    yield from _walk(values, ("body",), "", "")


def _walk(value: Any, loc: Loc, name: str, parent: str) -> Iterator[Reference]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _walk(entry, (*loc, str(key)), str(key), name)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _walk(entry, (*loc, index), name, name)
    elif isinstance(value, str) and value and (kind := kind_of(name, parent)):
        yield Reference(loc, value, kind)


def kind_of(name: str, parent: str) -> Kind | None:
    """Tell from a field's name what its URL must lead to; None for fields that are no URL."""
    if name == "path":
        return Kind.WEIGHTS if parent == "loras" else Kind.FILE
    if name in ("model_image", "garment_image"):
        return Kind.PICTURE
    if not name.endswith(("_url", "_urls")):
        return None
    if "data_url" in name:
        return Kind.ARCHIVE
    return Kind.PICTURE if "image" in name or "mask" in name else Kind.FILE
