"""Files of this machine in a job of the command line: `image=@photo.jpg` becomes a data URI in the request.

A picture that is too large for a request goes into our store, and the request names it by its key. Only in fields that
take a URL, so that a prompt may begin with `@`.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import AfterValidator, BaseModel

from worker.artefacts.formats import HEAD_BYTES, by_ending, sniff
from worker.artefacts.signing import key_of
from worker.cli.complaint import Complaint
from worker.pictures import image_ref
from worker.request import MAX_BYTES, file_url

_TAKE_FILES = {file_url, image_ref}
_ROOM_BYTES = 8 << 10  # of a request, for all that is not the file
MOST_BYTES = (MAX_BYTES - _ROOM_BYTES) * 3 // 4  # inside a request; base64 makes 4 of 3
MOST_KEPT_BYTES = 100_000_000  # by way of the store

Keep = Callable[[str, Path, str], None]  # puts a file into our store: key, path, content type


def with_files(asks: type[BaseModel], given: Mapping[str, Any], keep: Keep | None = None) -> dict[str, Any]:
    """What is given, with a file in place of every `@path` in a field that takes one. Raises a `Complaint`."""
    found = dict(given)
    for name, field in asks.model_fields.items():
        takes = _validators([field.annotation, *field.metadata]) & _TAKE_FILES
        if takes and name in given:
            found[name] = _read(name, given[name], keep if image_ref in takes else None)
    return found


def _validators(parts: Any) -> set[Any]:
    found = set[Any]()
    for part in parts:
        found |= {part.func} if isinstance(part, AfterValidator) else _validators(get_args(part))
    return found


def _read(name: str, value: Any, keep: Keep | None) -> Any:
    if isinstance(value, list):
        return [_read(name, each, keep) for each in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    path = Path(value[1:]).expanduser()
    try:
        size = path.stat().st_size
        return _kept(path, keep) if keep and MOST_BYTES < size <= MOST_KEPT_BYTES else _data_uri(name, path, size)
    except OSError as error:
        raise Complaint(f"{name}: {path} cannot be read ({error.strerror})", status=2) from error


def _kept(path: Path, keep: Keep) -> str:
    """The key of the file in our store: by its contents, so that the same picture lies there once."""
    with path.open("rb") as file:
        form = sniff(file.read(HEAD_BYTES))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key = key_of(digest, "input", 0, form.ending or "bin")
    keep(key, path, form.content_type)
    return key


def _data_uri(name: str, path: Path, size: int) -> str:
    if size > MOST_BYTES:
        most = f"{MOST_BYTES / 1e3:,.0f} kB"
        raise Complaint(f"{name}: {path} has {size / 1e3:,.0f} kB; allowed: {most}, or a URL of it", status=2)
    data = path.read_bytes()
    form = sniff(data[:HEAD_BYTES])
    content_type = (by_ending(path.name) if form.kind == "file" else form).content_type
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"
