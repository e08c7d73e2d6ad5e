"""Files of this machine in a job of the command line: `image=@photo.jpg` becomes a data URI in the request.

A file that is too large for a request, or for what others leave of it, goes into our store, and the request names it by
its key. Only in fields that take a reference, however deep, so that a prompt may begin with `@`.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import AfterValidator, BaseModel

from worker.cli.screen.complaint import Complaint
from worker.files.archive import TAR_GZ, ZIP, is_archive
from worker.files.formats import ANYTHING, HEAD_BYTES, Format, by_ending, sniff
from worker.jobs.file_keys import key_of
from worker.jobs.file_refs import file_ref, image_ref
from worker.jobs.request import MAX_BYTES, file_url

_ROOM_BYTES = 8 << 10  # of a request, for all that is not a file
MOST_BYTES = (MAX_BYTES - _ROOM_BYTES) * 3 // 4  # inside a request; base64 makes 4 of 3
MOST_PICTURE_BYTES = 100_000_000  # by way of the store

Keep = Callable[[str, Path, str], None]  # puts a file into our store: key, path, content type


def with_files(
    asks: type[BaseModel], given: Mapping[str, Any], keep: Keep | None = None, most_bytes: int = MOST_PICTURE_BYTES
) -> dict[str, Any]:
    """What is given, with a file in place of every `@path` in a field that takes one. Raises a `Complaint`.

    Weights and archives may have `most_bytes`. Without `keep` nothing goes by way of the store.
    """
    limits = {file_url: 0, image_ref: MOST_PICTURE_BYTES, file_ref: most_bytes} if keep else dict.fromkeys(_TAKE, 0)
    return _Filling(keep, limits).of_model(asks, given)


_TAKE = (file_url, image_ref, file_ref)  # what judges the fields that take a file


class _Filling:
    """One request on its way; `limits` are of files by way of the store, by what judges their field."""

    def __init__(self, keep: Keep | None, limits: Mapping[Any, int]) -> None:
        self._keep, self._limits, self._left = keep, limits, MOST_BYTES

    def of_model(self, asks: type[BaseModel], given: Mapping[str, Any], at: str = "") -> dict[str, Any]:
        found = dict(given)
        for name, field in asks.model_fields.items():
            if name in given:
                found[name] = self._value(f"{at}{name}", given[name], [field.annotation, *field.metadata])
        return found

    def _value(self, label: str, value: Any, parts: list[Any]) -> Any:
        if isinstance(value, list):
            return [self._value(f"{label}.{n}", each, parts) for n, each in enumerate(value)]
        if isinstance(value, Mapping):
            model = next((part for part in _inside(parts) if _is_model(part)), None)
            return self.of_model(model, value, f"{label}.") if model else value
        judges = [part.func for part in _inside(parts) if isinstance(part, AfterValidator) and part.func in _TAKE]
        if not judges or not isinstance(value, str) or not value.startswith("@"):
            return value
        path = Path(value[1:]).expanduser()
        try:
            return self._file(label, path, self._limits[judges[0]])
        except OSError as error:
            raise Complaint(f"{label}: {path} cannot be read ({error.strerror})", status=2) from error

    def _file(self, label: str, path: Path, most_kept: int) -> str:
        size = path.stat().st_size
        if size <= self._left:
            self._left -= size
            return _data_uri(path)
        if self._keep and size <= most_kept:
            return _kept(path, self._keep)
        raise Complaint(f"{label}: {path} has {_shown(size)}; allowed: {self._allowed(most_kept)}", status=2)

    def _allowed(self, most_kept: int) -> str:
        together = "" if self._left == MOST_BYTES else " with the files before it"
        return f"{_shown(max(most_kept, MOST_BYTES))}{'' if most_kept else together}, or a URL of it"


def _inside(parts: Any) -> Iterator[Any]:
    """The parts of an annotation, and theirs."""
    for part in parts:
        yield part
        yield from _inside(get_args(part))


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _kept(path: Path, keep: Keep) -> str:
    """The key of the file in our store: by its contents, so that the same file lies there once."""
    with path.open("rb") as file:
        form = _form(path, file.read(HEAD_BYTES))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key = key_of(digest, "input", 0, form.ending)
    keep(key, path, form.content_type)
    return key


def _data_uri(path: Path) -> str:
    data = path.read_bytes()
    return f"data:{_form(path, data[:HEAD_BYTES]).content_type};base64,{base64.b64encode(data).decode()}"


def _form(path: Path, head: bytes) -> Format:
    """What the first bytes show; of all else, what its name says."""
    if is_archive(head):
        return ZIP if head.startswith(b"PK") else TAR_GZ
    form = sniff(head)
    return by_ending(path.name) if form is ANYTHING else form


def _shown(size: int) -> str:
    return f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"
