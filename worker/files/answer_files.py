"""The files in a provider's answer, wherever they are: `{"url": …}` objects and bare URLs. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.files.formats import by_content_type, by_ending
from worker.jobs.job import Kind

_DEPTH = 12  # levels of an answer that are searched
_SCHEMES = ("http://", "https://", "data:")


@dataclass(frozen=True)
class AnswerFile:
    """A file as a provider's answer describes it. `is_bare`: the answer has a URL only."""

    url: str
    content_type: str = ""
    file_name: str = ""
    is_bare: bool = False


def file_of(node: Any) -> AnswerFile | None:
    """The file that a value of the answer describes, or None."""
    if isinstance(node, Mapping):
        url = node.get("url")
        if not isinstance(url, str) or not url:
            return None
        return AnswerFile(url, _inline_type(url) or _text(node, "content_type"), _text(node, "file_name"))
    return AnswerFile(node, _inline_type(node), is_bare=True) if is_url(node) else None


def is_url(value: Any) -> bool:
    """Whether a value is the URL of a file, or the file itself as a data: URI."""
    return isinstance(value, str) and value[:8].lower().startswith(_SCHEMES)


def search(answer: Any, kind: Kind) -> list[AnswerFile]:
    """The files of the answer that may be of this kind, each once, top level first.

    Files that are announced to be of the kind exclude all others; then come those of which nothing is announced, whose
    bytes will show it. Objects come before bare URLs, which may be links.
    """
    found = list({file.url: file for file in _walk(answer)}.values())
    tiers = [(_is_announced_as, False), (_is_announced_as, True), (_is_unannounced, False), (_is_unannounced, True)]
    matches = ([each for each in found if each.is_bare is is_bare and test(each, kind)] for test, is_bare in tiers)
    return next((files for files in matches if files), [])


def _walk(node: Any, depth: int = _DEPTH) -> Iterator[AnswerFile]:
    if file := file_of(node):
        yield file
    elif depth and isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _walk(child, depth - 1)


def _is_announced_as(file: AnswerFile, kind: Kind) -> bool:
    return kind in {"file", _announced(file)}


def _is_unannounced(file: AnswerFile, kind: Kind) -> bool:
    return _announced(file) == "file"


def _announced(file: AnswerFile) -> Kind:
    return announced_kind(file.content_type, file.file_name, file.url)


def announced_kind(content_type: str, file_name: str, url: str) -> Kind:
    """The kind that a file is said to be of, by these three in their order; `file` if none says it."""
    kinds = [by_content_type(content_type).kind, by_ending(file_name).kind, by_ending(_path(url)).kind]
    return next((kind for kind in kinds if kind != "file"), "file")


def _path(url: str) -> str:
    try:
        return "" if _inline_type(url) else urlsplit(url).path
    except ValueError:
        return ""


def _inline_type(url: str) -> str:
    return url[5:].partition(",")[0].partition(";")[0] if url[:5].lower() == "data:" else ""


def _text(node: Mapping[str, Any], name: str) -> str:
    return str(node.get(name) or "")
