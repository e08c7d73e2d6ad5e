"""The types of a request's files: each a reference (a URL, a data: URI, or the key of a file of ours) with a kind.

A field `mask: Mask` is all that a task says; `file_arguments` records it on the step. Only the form of a reference is
checked here, at `delay()`. `worker.files` brings the file and checks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from worker.jobs.file_keys import checked
from worker.jobs.job import FileKind
from worker.jobs.request import file_url

OURS = "jobs/"  # how the key of every file in our store begins
_SCHEMES = ("http://", "https://", "data:")


@dataclass(frozen=True)
class FileType:
    """Marks the type of a request's field as the reference of a file of this kind."""

    kind: FileKind


def file_ref(ref: str) -> str:
    """The reference itself. Raises `ValueError` for what names no file, with what is allowed."""
    if ref.startswith(OURS):
        return checked(ref)
    if not ref.lower().startswith(_SCHEMES):
        raise ValueError("must be an http:// or https:// URL, a data: URI, or the key of a file of ours (jobs/…)")
    return file_url(ref)


def _name_of(given: Any) -> Any:
    """A file as a result has it goes by its key: that opens it for as long as our store has it, its URL does not."""
    if isinstance(given, Mapping) and {"key", "url"} & given.keys():
        return given.get("key") or given.get("url")
    return given


def _all_of(given: Any) -> Any:
    """One alone is a list of one."""
    return [_name_of(each) for each in given] if isinstance(given, list) else [_name_of(given)]


Image = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("image")]
Images = Annotated[list[Annotated[str, AfterValidator(file_ref), FileType("image")]], BeforeValidator(_all_of)]
Mask = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("mask")]
Video = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("video")]
Audio = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("audio")]
Weights = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("weights")]
Archive = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of), FileType("archive")]
