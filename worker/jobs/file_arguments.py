"""Which arguments of a step are files, and of which kind: recorded on the step, from the types of the request.

All code that checks, uploads, fetches or converts a request's files uses this; no code depends on parameter names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from worker.jobs.file_refs import FileType
from worker.jobs.job import FileKind, Step
from worker.jobs.leaves import leaves
from worker.jobs.raw_arguments import HoldsFiles, raw_files

# For rows of older versions, which did not record the files of a step.
_UNRECORDED = {"image": "image", "images": "image", "images_data_url": "archive", "loras": "weights"}


@dataclass(frozen=True)
class FileArgument:
    """A file of a step: its path in the arguments (`images.0`, `loras.1.path`), its kind, its reference.

    `argument` is the name of the argument that contains the file, if the path does not show it: a name with a dot.
    """

    path: str
    kind: FileKind
    ref: str
    argument: str = ""

    @property
    def parameter(self) -> str:
        """The parameter that contains the file."""
        return self.argument or self.path.partition(".")[0]


def file_arguments(step: Step) -> tuple[FileArgument, ...]:
    """The files of a step, in the order of its arguments."""
    recorded = _unrecorded(dict(leaves(step.arguments))) if step.files is None else step.files
    return tuple(
        FileArgument(path, recorded[path], ref, name if "." in name else "")
        for name, value in step.arguments.items()
        for path, ref in leaves(value, name)
        if path in recorded
    )


def recorded_files(request: BaseModel, arguments: Mapping[str, Any]) -> dict[str, FileKind]:
    """The files among a step's arguments: path -> kind.

    An argument contains a file if it contains the reference of one: a LoRA is at `loras.0.path`. If an argument has the
    name of a request's field and that field's type has no files, the argument has none either, whatever its text is;
    unless the argument is one of `HoldsFiles`, which the endpoint has named: `model`, `extra`.
    """
    by_field = {name: dict(_refs(_parts(request, name), getattr(request, name))) for name in type(request).model_fields}
    anywhere = {ref: kind for refs in by_field.values() for ref, kind in refs.items()}
    raw = {name for field in by_field if _is_raw(_parts(request, field)) for name in getattr(request, field)}
    found: dict[str, FileKind] = {}
    for name, value in arguments.items():
        if name in by_field and name not in raw and not _names_files(_parts(request, name)):
            continue
        known = anywhere | by_field.get(name, {})
        found |= {path: known[leaf] for path, leaf in leaves(value, name) if leaf in known}
    return found


def _names_files(parts: list[Any]) -> bool:
    """Whether a field with this annotation may contain files."""
    return any(
        isinstance(part, FileType | HoldsFiles) or (_is_model(part) and any(map(_names_files, _all_parts(part))))
        for part in annotation_parts(parts)
    )


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _all_parts(model: type[BaseModel]) -> Iterator[list[Any]]:
    return ([field.annotation, *field.metadata] for field in model.model_fields.values())


def _is_raw(parts: list[Any]) -> bool:
    return any(isinstance(part, HoldsFiles) for part in parts)


def _refs(parts: list[Any], value: Any) -> Iterator[tuple[str, FileKind]]:
    """The references in a field's value, with the kinds from its annotation."""
    if _is_raw(parts):
        yield from raw_files(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _refs(_parts(value, name), getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _refs(parts, each)
    elif isinstance(value, str):
        yield from ((value, part.kind) for part in annotation_parts(parts) if isinstance(part, FileType))


def _parts(model: BaseModel, name: str) -> list[Any]:
    field = type(model).model_fields[name]
    return [field.annotation, *field.metadata]


def annotation_parts(parts: Any) -> Iterator[Any]:
    """Each part of an annotation, at any depth."""
    for part in parts:
        yield part
        yield from annotation_parts(get_args(part))


def _unrecorded(leaves: Mapping[str, str]) -> dict[str, Any]:
    """The files of a step whose row has no record of them, by parameter names."""
    found = {path: _UNRECORDED.get(path.partition(".")[0]) for path in leaves}
    return {path: kind for path, kind in found.items() if kind and (kind != "weights" or path.endswith(".path"))}
