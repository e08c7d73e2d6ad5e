"""Local files in a job of the command line: `image=@photo.jpg` becomes a data URI in the request.

A file that does not fit into the request is put into our store, and the request gets its key. Only fields that take a
file reference are changed, at any depth, so a prompt may begin with `@`.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, BaseModel

from worker.cli.errors import CliError
from worker.files.formats import ANYTHING, HEAD_BYTES, sniff
from worker.files.upload import format_of, input_key
from worker.jobs.file_arguments import annotation_parts
from worker.jobs.file_keys import OURS
from worker.jobs.file_refs import FileType, NamedBy
from worker.jobs.job import FileKind
from worker.jobs.raw_arguments import HoldsFiles, kind_of_path
from worker.jobs.request import MAX_BYTES, file_url

_RESERVED_BYTES = 8 << 10  # of a request, for everything that is not a file
MAX_INLINE_BYTES = (MAX_BYTES - _RESERVED_BYTES) * 3 // 4  # inside a request; base64 makes 4 bytes of 3
MAX_PATH = 200  # characters; a longer name may be an error of the file system, and a data URI is no path
MAX_STORED_IMAGE_BYTES = 100_000_000  # through the store

_DECODED: Mapping[FileKind, str] = {"image": "a picture", "mask": "a picture", "video": "a video", "audio": "a sound"}

StoreFile = Callable[[str, Path, str], None]  # puts a file into our store: key, path, content type


def attach_files(
    request_type: type[BaseModel],
    fields: Mapping[str, Any],
    store_file: StoreFile | None = None,
    max_bytes: int = MAX_STORED_IMAGE_BYTES,
) -> dict[str, Any]:
    """The fields, with each `@path` in a file field replaced by a data URI or a store key. Raises a `CliError`.

    `max_bytes` is the limit for weights and archives. Without `store_file`, files go only into the request.
    """
    tenant = fields.get("tenant")
    return _Attachment(store_file, max_bytes, str(tenant) if tenant else None).of_model(request_type, fields)


class _Attachment:
    """Attaches files to one request."""

    def __init__(self, store_file: StoreFile | None, max_bytes: int, tenant: str | None) -> None:
        self._store_file, self._max_bytes, self._left = store_file, max_bytes, MAX_INLINE_BYTES
        self._tenant = tenant
        self._keeps_names = False  # a data: URI has no name

    def of_model(self, request_type: type[BaseModel], fields: Mapping[str, Any], at: str = "") -> dict[str, Any]:
        found = dict(fields)
        for name, field in request_type.model_fields.items():
            if name in fields:
                annotations = [field.annotation, *field.metadata]
                self._keeps_names = any(
                    isinstance(part, NamedBy) and isinstance(fields.get(part.field), Mapping)
                    for part in annotation_parts(annotations)
                )
                found[name] = self._value(f"{at}{name}", fields[name], annotations)
        return found

    def _value(self, label: str, value: Any, annotations: list[Any]) -> Any:
        if isinstance(value, list):
            return [self._value(f"{label}.{n}", each, annotations) for n, each in enumerate(value)]
        nested = list(annotation_parts(annotations))
        if any(isinstance(part, HoldsFiles) for part in nested):
            return self._raw(label, value)
        if isinstance(value, Mapping):
            model = next((part for part in nested if _is_model(part)), None)
            return self.of_model(model, value, f"{label}.") if model else value
        kind = next((part.kind for part in nested if isinstance(part, FileType)), None)
        takes_url = any(isinstance(part, AfterValidator) and part.func is file_url for part in nested)
        if not (kind or takes_url) or not isinstance(value, str):
            return value
        if not value.startswith("@"):
            _refuse_bare_path(label, value)
            return value
        return self._read(label, Path(value[1:]).expanduser(), kind)

    def _raw(self, label: str, value: Any) -> Any:
        """Arguments of an endpoint, whose fields nobody knows: `@path` is a file if there is one, or if it ends so."""
        if isinstance(value, Mapping):
            return {name: self._raw(f"{label}.{name}", each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._raw(f"{label}.{n}", each) for n, each in enumerate(value)]
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        path = Path(value[1:]).expanduser()
        kind = kind_of_path(path.name)
        if not (path.is_file() or kind):
            return value
        return self._read(label, path, kind or "file")

    def _read(self, label: str, path: Path, kind: FileKind | None) -> str:
        try:
            _check(label, path, kind)
            return self._file(label, path, self._max_stored(kind))
        except OSError as error:
            raise CliError(f"{label}: {path} cannot be read ({error.strerror})", status=2) from error

    def _max_stored(self, kind: FileKind | None) -> int:
        """The largest file of this kind that goes through the store, in bytes. A bare URL field takes none of ours."""
        if self._store_file is None or kind is None:
            return 0
        return MAX_STORED_IMAGE_BYTES if kind in {"image", "mask"} else self._max_bytes

    def _file(self, label: str, path: Path, max_stored: int) -> str:
        size = path.stat().st_size
        if size <= self._left and not (self._keeps_names and self._store_file):
            self._left -= size
            return _data_uri(path)
        if self._store_file and size <= max_stored:
            return _stored(path, self._store_file, self._tenant)
        raise CliError(f"{label}: {path} has {_size(size)}; allowed: {self._allowed(max_stored)}", status=2)

    def _allowed(self, max_stored: int) -> str:
        together = "" if self._left == MAX_INLINE_BYTES else " with the files before it"
        return f"{_size(max(max_stored, MAX_INLINE_BYTES))}{'' if max_stored else together}, or a URL of it"


def _check(label: str, path: Path, kind: FileKind | None) -> None:
    """Raise a `CliError` for an empty file, and for a text where a picture, video or sound is needed."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise CliError(f"{label}: {path} is empty", status=2)
    needed = _DECODED.get(kind) if kind else None
    if needed and sniff(head) is ANYTHING and _is_text(head):
        raise CliError(f"{label}: {path} is a text, not {needed}", status=2)


def _is_text(head: bytes) -> bool:
    """Whether all of it is printable, as UTF-8. The last character may be cut."""
    text = head.decode(errors="replace").removeprefix("\ufeff")
    return all(each.isprintable() or each.isspace() for each in text.rstrip("\ufffd")) and "\ufffd" not in text[:-3]


def _refuse_bare_path(label: str, value: str) -> None:
    """Raise a `CliError` for the path of a file without `@`. The request would only say that it is no URL."""
    if len(value) < MAX_PATH and not value.startswith(OURS) and Path(value).expanduser().is_file():
        example = f'"@{value}"' if "." in label else f"{label}=@{value}"
        raise CliError(f"{label}: {value} is a file of this machine: write {example}", status=2)


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _stored(path: Path, store_file: StoreFile, tenant: str | None) -> str:
    """Put the file into our store."""
    with path.open("rb") as file:
        form = format_of(file.read(HEAD_BYTES), path.name)
        key = input_key(file, form, tenant, path.name)
    store_file(key, path, form.content_type)
    return key


def _data_uri(path: Path) -> str:
    data = path.read_bytes()
    return f"data:{format_of(data[:HEAD_BYTES], path.name).content_type};base64,{base64.b64encode(data).decode()}"


def _size(size: int) -> str:
    return f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"
