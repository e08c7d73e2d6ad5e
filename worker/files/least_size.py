"""Refuses a picture that is smaller than a model takes, before anything is submitted: a video of it costs money.

Only the header is read, so this is cheap enough for `delay()`. A picture behind a public URL is not seen here: the
provider fetches it by itself.
"""

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from config.model import Model, Route
from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.files.picture_size import picture_size

Upload = Callable[[Media], Awaitable[str]]

READ_CHARS = 400_000  # of base64: a JPEG's size stands behind its EXIF data and thumbnails


def size_problem(head: bytes, least: int | None) -> str | None:
    """What is wrong with the sides of a picture of which these are the first bytes; None where that is not known."""
    size = picture_size(head) if least else None  # what is no picture, the files' own check refuses
    if size is None or least is None or min(size) >= least:
        return None
    width, height = size
    return f"is a picture of {width}×{height} pixels; allowed: {least} or more on each side"


def inline_size_problems(model: Model, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The data: pictures among the arguments that are too small: pairs of field and message."""
    for name, value in arguments.items():
        least = least_side(model, model.first_route, name)
        refs: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
        for n, ref in enumerate(refs if least else ()):
            if isinstance(ref, str) and (problem := size_problem(_inline_head(ref), least)):
                yield (f"{name}.{n}" if refs is value else name), f"{problem} ({model.name})"


def check_size(media: Media, least: int | None, label: str) -> None:
    """Raise `RequestRefusedError` if the picture is too small. `label` is what messages call it."""
    if problem := size_problem(media.data, least):
        raise RequestRefusedError(f"{label}: {problem}", kind="too_small")


def checked_upload(upload: Upload, least: int | None, label: str) -> Upload:
    """The upload, which refuses pictures that are too small."""

    async def checked(media: Media) -> str:
        check_size(media, least, label)
        return await upload(media)

    return checked


def least_side(model: Model, route: Route, parameter: str) -> int | None:
    """The least length of a side in pixels, of the picture that this parameter takes."""
    limits = (limits.get(parameter) for limits in (route.limits, model.limits))
    return max((limit.min_side for limit in limits if limit and limit.min_side), default=None)


def _inline_head(ref: str) -> bytes:
    """The first bytes of a base64 data: URI; nothing of any other reference."""
    head, comma, data = ref[: READ_CHARS + 200].partition(",")
    if not comma or not head[:5].lower().startswith("data:") or not head.lower().endswith(";base64"):
        return b""
    usable = "".join(data.split())
    try:
        return base64.urlsafe_b64decode(usable[: len(usable) // 4 * 4].replace("+", "-").replace("/", "_"))
    except ValueError:
        return b""
