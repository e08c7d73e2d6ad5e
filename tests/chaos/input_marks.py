"""Finds the job that a submission was made for, when no text of it has a mark: by the files that it brings.

A file is a job's own when the job's mark is in its bytes, or when a job of the same mark has made it before.
"""

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.chaos.history import ExpectedJob
from tests.chaos.load import find_mark, mark_of
from tests.chaos.recorder import files_of

FILE_MARKS = "file_marks"  # the field of a request: the marks of its files, in order
_URL = re.compile(r'"(https?://[^"]+)"')
_DATA = re.compile(r'"data:[^;"]*;base64,([A-Za-z0-9+/]+)')  # the twin shows only the beginning of a long text


def link_files(
    requests: list[dict[str, Any]],
    expected_jobs: Iterable[ExpectedJob],
    results: Mapping[str, dict[str, Any]],
    transport: httpx.BaseTransport | None = None,
) -> None:
    """Add the marks of its files to each request without a mark in a text."""
    makers = _makers(expected_jobs, results)
    with httpx.Client(timeout=60, transport=transport) as http:
        for request in requests:
            if mark_of(request.get("input") or {}) is None:
                request[FILE_MARKS] = list(_marks(http, request.get("input") or {}, makers))


def _makers(expected_jobs: Iterable[ExpectedJob], results: Mapping[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return the mark of the job that has made a file, by its hash, unless jobs of two marks have made equal ones."""
    found: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for expected in expected_jobs:
        meta = results.get(expected.id or "", {})
        for file in files_of(meta["result"]) if meta.get("state") == "SUCCESS" else ():
            found[file["sha256"]].add((expected.number, expected.part))
    return {sha256: marks.pop() for sha256, marks in found.items() if len(marks) == 1}


def _marks(http: httpx.Client, given: dict[str, Any], makers: Mapping[str, tuple[int, int]]) -> Iterator[list[int]]:
    for encoded in _DATA.findall(json.dumps(given)):
        begun = base64.b64decode(encoded[: len(encoded) // 4 * 4])
        if found := find_mark(begun.decode("latin-1")):
            yield list(found)
    for url in _URL.findall(json.dumps(given)):
        if urlsplit(url).hostname != "127.0.0.1":
            continue
        try:
            content = http.get(url).content
        except httpx.HTTPError:
            continue  # such as the address where nobody listens, of jobs that must fail
        own = find_mark(content.decode("latin-1")) or makers.get(hashlib.sha256(content).hexdigest())
        if own:
            yield list(own)


def made_for(request: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the mark of the job that a submission was made for. None: no mark, or files of several jobs."""
    found = mark_of(request.get("input") or {})
    marks = {(number, part) for number, part in request.get(FILE_MARKS, ())}
    return found or (marks.pop() if len(marks) == 1 else None)
