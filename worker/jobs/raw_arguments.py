"""Arguments by an endpoint's own names: any JSON, in which files are found by their references.

For tasks that run any endpoint (`generation.run`). A text is a file if all of it is the key of one of our files, a
data: URI, or a URL that looks like a file's: by its ending, or by the name of its field. Other URLs are sent unchanged.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue

from worker.jobs.file_keys import OURS, checked
from worker.jobs.job import FileKind
from worker.jobs.leaves import leaves
from worker.jobs.request import Label, file_url, sendable

MOST_ARGUMENTS = 200
_KEY = re.compile(r"jobs/[A-Za-z0-9_./-]+")
DATA_URI = re.compile(r"data:(?:([\w.+-]+/[\w.+-]+)|(?=;))(?:;[\w.+=-]{1,100})*,", re.IGNORECASE)
_ENDINGS: Mapping[FileKind, str] = {
    "image": "png jpg jpeg jfif webp gif avif heic heif bmp tif tiff apng",
    "video": "mp4 mov webm mkv m4v",
    "audio": "wav mp3 flac ogg m4a aac",
    "weights": "safetensors",
    "archive": "zip tgz",
    "file": "glb gltf obj ply fbx stl usdz bin json txt csv pdf svg srt vtt ckpt pt npz exr hdr gz",
}
_BY_ENDING = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
_TYPES: Mapping[str, FileKind] = {"image": "image", "video": "video", "audio": "audio"}
_ARCHIVES = frozenset({"application/zip", "application/x-zip-compressed"})  # what is gzipped may be any one file
_HINTS: Mapping[str, FileKind] = {"mask": "mask", "image": "image", "video": "video", "audio": "audio"}
_NAMES_A_FILE = re.compile(r"(?:^|_)(?:url|urls|path|file|files)$")


@dataclass(frozen=True)
class HoldsFiles:
    """Marks a field whose files are found by `raw_files`."""


def raw_files(value: Any, name: str = "") -> Iterator[tuple[str, FileKind]]:
    """Each reference of a file inside a value, with its kind. `name` is the field that holds the value."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from raw_files(each, str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from raw_files(each, name)
    elif isinstance(value, str) and (kind := kind_of(value, name)):
        yield value, kind


def kind_of(text: str, name: str) -> FileKind | None:
    """The kind of the file that this text in a field of this name refers to; None if it refers to no file."""
    if found := DATA_URI.match(text):
        return _by_type((found[1] or "").lower(), text)
    if _KEY.fullmatch(text):
        return kind_of_path(text) or "file"
    if not text[:8].lower().startswith(("http://", "https://")):
        return None
    try:
        path = urlsplit(text).path
    except ValueError:
        return None
    hinted = next((kind for hint, kind in _HINTS.items() if hint in name.lower()), None)
    return kind_of_path(path) or hinted or ("file" if _NAMES_A_FILE.search(name.lower()) else None)


def _by_type(content_type: str, text: str) -> FileKind:
    if content_type in _ARCHIVES:
        return "archive"
    kind = _TYPES.get(content_type.partition("/")[0], "file")
    return "file" if content_type == "image/svg+xml" else kind


def kind_of_path(path: str) -> FileKind | None:
    """The kind of a file by the ending of its name; None if it says none."""
    path = path.lower()
    return "archive" if path.endswith(".tar.gz") else _BY_ENDING.get(path.rpartition(".")[2])


def _checked(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    sendable(arguments)
    refs = {ref for ref, _ in raw_files(arguments)}
    for path, text in leaves(arguments):
        if text in refs:
            _check_ref(path, text)
    return arguments


def _check_ref(path: str, ref: str) -> None:
    try:
        checked(ref) if ref.startswith(OURS) else file_url(ref)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


RawArguments = Annotated[
    dict[Label, JsonValue], AfterValidator(_checked), Field(max_length=MOST_ARGUMENTS), HoldsFiles()
]
