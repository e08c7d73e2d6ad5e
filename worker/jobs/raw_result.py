"""The result of a task that runs any endpoint: its files by what they are, and the whole answer with our URLs. Pure.

The task's check of the answer lists the files, and puts `FILE_MARK` and a file's number where the answer has it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

FILE_MARK = "kilnhand:file:"
_MARKED = re.compile(re.escape(FILE_MARK) + r"(\d{1,4})")


def with_file_urls(value: Any, urls: Mapping[int, str]) -> Any:
    """The value with the URL of a file in each of its places; null in the place of a file that has none."""
    match value:
        case str() if found := _MARKED.fullmatch(value):
            return urls.get(int(found[1]))
        case dict():
            return {name: with_file_urls(each, urls) for name, each in value.items()}
        case list():
            return [with_file_urls(each, urls) for each in value]
    return value


def urls_of_provider(listed: Any) -> dict[int, str]:
    """The URLs by which the provider named the files of an answer; not those of files inside the answer."""
    files = listed if isinstance(listed, list) else []
    urls = {n: str(file.get("url")) for n, file in enumerate(files) if isinstance(file, Mapping)}
    return {n: url for n, url in urls.items() if url.startswith(("http://", "https://"))}


def by_kind(files: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The files, which come with their kinds, by the names that other tasks take in a chain."""
    of: dict[str, list[dict[str, Any]]] = {}
    for kind, file in files:
        of.setdefault(kind, []).append(file)
    first = {kind: next(iter(of.get(kind, ())), None) for kind in ("video", "audio", "weights")}
    return {"images": of.get("image", []), **first}
