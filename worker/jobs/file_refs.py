"""The types of a request's files: each is a reference (a URL, a data: URI, or the key of one of our files) and a kind.

A task only declares a field, such as `mask: Mask`; `file_arguments` records the file on the step. This module checks
the form of a reference, at `delay()`. `worker.files` fetches the file and checks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from worker.jobs.file_keys import OURS, checked
from worker.jobs.job import FileKind
from worker.jobs.request import file_url

_SCHEMES = ("http://", "https://", "data:")


@dataclass(frozen=True)
class FileType:
    """Marks a field's type as the reference of a file of this kind."""

    kind: FileKind


@dataclass(frozen=True)
class NamedBy:
    """Marks files that another field refers to by their names, in a mapping: then the names must be kept."""

    field: str


def file_ref(ref: str) -> str:
    """The reference. Raises `ValueError`, which says what is allowed, if it is not the form of one."""
    if ref.startswith(OURS):
        return checked(ref)
    if not ref.lower().startswith(_SCHEMES):
        raise ValueError("must be an http:// or https:// URL, a data: URI, or the key of one of our files (jobs/…)")
    return file_url(ref)


def _ref_of(given: Any) -> Any:
    """The key of a file that comes from a result: the key works while our store has the file, its URL expires."""
    if isinstance(given, Mapping) and {"key", "url"} & given.keys():
        return given.get("key") or given.get("url")
    return given


def _refs_of(given: Any) -> Any:
    """The references in a list. A single file becomes a list of one."""
    return [_ref_of(each) for each in given] if isinstance(given, list) else [_ref_of(given)]


Image = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("image")]
Images = Annotated[list[Annotated[str, AfterValidator(file_ref), FileType("image")]], BeforeValidator(_refs_of)]
Mask = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("mask")]
Video = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("video")]
Audio = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("audio")]
Weights = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("weights")]
Archive = Annotated[str, AfterValidator(file_ref), BeforeValidator(_ref_of), FileType("archive")]
