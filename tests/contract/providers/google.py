"""Shared by the tests of Google's providers: providers on the twin, calls, pictures."""

import io
import os
from typing import Any

from PIL import Image

from config.settings import GoogleSettings
from tests.contract.providers.conftest import Twin
from worker.files.media import Media
from worker.providers.base import Call
from worker.providers.google.gemini import Gemini, open_gemini
from worker.providers.google.vertex import Vertex, open_vertex

PRO, FLASH, TRY_ON, VEO = "gemini-3-pro-image", "gemini-3.8-flash", "virtual-try-on-001", "veo-3.1-lite-generate-001"
CAPTION = {"type": "object", "properties": {"caption": {"type": "string"}}, "required": ["caption"]}


async def opened(name: str, twin: Twin, timeout_s: float = 10.0, **more: Any) -> Vertex | Gemini:
    open_one = {"vertex": open_vertex, "gemini": open_gemini}[name]
    settings = GoogleSettings(google_base_url=f"{twin.url}/google", google_timeout_s=timeout_s)
    return await open_one(settings, **more)  # type: ignore[operator]


def picture_call(**arguments: Any) -> Call:
    return Call("job-1", PRO, {"prompt": "a kiln", **arguments})


def text_call(*files: Media, **arguments: Any) -> Call:
    return Call("job-1", FLASH, {"prompt": "caption", **arguments}, files=files)


def colour_picture(colour: str | None, size: tuple[int, int] = (96, 128)) -> Media:
    """A picture of one colour; without a colour, noise, which is a large file."""
    data = io.BytesIO()
    picture = (
        Image.new("RGB", size, colour) if colour else Image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3))
    )
    picture.save(data, "PNG")
    return Media(data.getvalue(), "image/png")


def look(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.format, picture.size


def sent(twin: Twin) -> list[dict[str, Any]]:
    """The requests that the twin received, oldest first."""
    requests = twin.http.get("/_twin/requests").json()["requests"]
    return sorted(requests, key=lambda request: request["accepted_at"])
