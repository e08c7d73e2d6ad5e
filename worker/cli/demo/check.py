"""Checks a result from outside: fetches every URL once and compares the file with what the result says."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from PIL import Image

from worker.cli.screen.results import files_in


def file_problems(result: Mapping[str, Any], width: int | None, height: int | None) -> Iterator[str]:
    """Every problem with the files of a result. `width` and `height`: the requested size in pixels, if any."""
    with httpx.Client(trust_env=False, timeout=30) as http:
        for name, file in files_in(result):
            if problem := _problem(http, file, width, height):
                yield f"{name}: {problem} ({file['url']})"


def _problem(http: httpx.Client, file: Mapping[str, Any], width: int | None, height: int | None) -> str | None:
    try:
        answer = http.get(file["url"])
    except httpx.HTTPError as error:
        return f"cannot be fetched: {error}"
    if answer.status_code != 200:
        return f"cannot be fetched: HTTP {answer.status_code}"
    if hashlib.sha256(answer.content).hexdigest() != file["sha256"]:
        return f"does not have the promised sha256 ({len(answer.content)} bytes)"
    content_type = answer.headers.get("content-type", "").partition(";")[0]
    if content_type != file["content_type"]:
        return f"is served as {content_type or 'nothing'}, not {file['content_type']}"
    return _picture_problem(answer.content, file, width, height) if content_type.startswith("image/") else None


def _picture_problem(content: bytes, file: Mapping[str, Any], width: int | None, height: int | None) -> str | None:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        if image.size != (file["width"], file["height"]):
            return f"is {image.size}, not {file['width']}×{file['height']} as the result says"
        if width is not None and image.size != (width, height):
            return f"is {image.width}×{image.height}; {width}×{height} was requested"
    return None
