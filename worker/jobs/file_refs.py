"""How a caller names a file that goes with a request: a URL, the file itself as a data: URI, or one of ours.

Only the form is judged here, at `delay()`; what is behind a name is brought and judged by `worker.files`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from worker.jobs.file_keys import checked
from worker.jobs.request import file_url

OURS = "jobs/"  # how the key of every file in our store begins
_SCHEMES = ("http://", "https://", "data:")


def file_ref(ref: str) -> str:
    """The reference itself. Raises `ValueError` for what names no file, with what is allowed."""
    if ref.startswith(OURS):
        return checked(ref)
    if not ref.lower().startswith(_SCHEMES):
        raise ValueError("must be an http:// or https:// URL, a data: URI, or the key of a file of ours (jobs/…)")
    return file_url(ref)


def image_ref(ref: str) -> str:
    """The same of a picture: what is brought of one is bounded more narrowly."""
    return file_ref(ref)


def _name_of(given: Any) -> Any:
    """A file as a result has it goes by its key: that opens it for as long as our store has it, its URL does not."""
    if isinstance(given, Mapping) and {"key", "url"} & given.keys():
        return given.get("key") or given.get("url")
    return given


def _all_of(given: Any) -> Any:
    """One alone is a list of one."""
    return [_name_of(each) for each in given] if isinstance(given, list) else [_name_of(given)]


_Ref = Annotated[str, AfterValidator(image_ref)]
File = Annotated[str, AfterValidator(file_ref), BeforeValidator(_name_of)]
Image = Annotated[_Ref, BeforeValidator(_name_of)]
Images = Annotated[list[_Ref], BeforeValidator(_all_of)]
