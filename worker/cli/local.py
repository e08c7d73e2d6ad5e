"""Files of this machine in a job of the command line: `image=@photo.jpg` becomes a data URI in the request.

Only in fields that take a URL, so that a prompt may begin with `@`.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import AfterValidator, BaseModel

from worker.artefacts.formats import HEAD_BYTES, by_ending, sniff
from worker.cli.complaint import Complaint
from worker.pictures import image_ref
from worker.request import MAX_BYTES, file_url

_TAKE_FILES = (file_url, image_ref)
_ROOM_BYTES = 8 << 10  # of a request, for all that is not the file
MOST_BYTES = min(7_000_000, (MAX_BYTES - _ROOM_BYTES) * 3 // 4)  # 7 MB: what providers take inline; base64 makes 4 of 3


def with_files(asks: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, with a data URI in place of every `@path` in a field that takes a URL. Raises a `Complaint`."""
    takes = {name for name, field in asks.model_fields.items() if _takes_url([field.annotation, *field.metadata])}
    return {name: _read(name, value) if name in takes else value for name, value in given.items()}


def _takes_url(parts: Any) -> bool:
    return any(
        part.func in _TAKE_FILES if isinstance(part, AfterValidator) else _takes_url(get_args(part)) for part in parts
    )


def _read(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_read(name, each) for each in value]
    return _data_uri(name, Path(value[1:]).expanduser()) if isinstance(value, str) and value.startswith("@") else value


def _data_uri(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        size = path.stat().st_size
    except OSError as error:
        raise Complaint(f"{name}: {path} cannot be read ({error.strerror})", status=2) from error
    if len(data) > MOST_BYTES:
        most = f"{MOST_BYTES / 1e3:,.0f} kB"
        raise Complaint(f"{name}: {path} has {size / 1e3:,.0f} kB; allowed: {most}, or a URL of it", status=2)
    form = sniff(data[:HEAD_BYTES])
    content_type = (by_ending(path.name) if form.kind == "file" else form).content_type
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"
