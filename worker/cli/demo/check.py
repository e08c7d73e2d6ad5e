"""Results as a stranger sees them: every URL is fetched once, and what comes is held against what was promised."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from PIL import Image

from worker.cli.screen.results import files_in


def problems_of(result: Mapping[str, Any], width: int | None, height: int | None) -> Iterator[str]:
    """What is wrong with the files of a result. `width` and `height` are those asked for, in pixels."""
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
        return f"is not the file that was promised ({len(answer.content)} bytes)"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind != file["content_type"]:
        return f"is served as {kind or 'nothing'}, not {file['content_type']}"
    return _picture_problem(answer.content, file, width, height) if kind.startswith("image/") else None


def _picture_problem(content: bytes, file: Mapping[str, Any], width: int | None, height: int | None) -> str | None:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        if image.size != (file["width"], file["height"]):
            return f"is {image.size}, not {file['width']}×{file['height']} as the result says"
        if width is not None and image.size != (width, height):
            return f"is {image.width}×{image.height}; asked for was {width}×{height}"
    return None
