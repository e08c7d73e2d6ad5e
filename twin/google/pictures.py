"""The picture of an image model, drawn from the prompt, the seed and the input pictures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twin.calls import PaidCall
from twin.desk import Desk
from twin.draw import Picture, Style
from twin.google.asked import Asked
from twin.google.models import picture_size
from twin.script import What
from twin.sight import Seen, sheet

MAX_NOTES = 6
DRAFT_SIDE = 512
TAILS = {"png": ".png", "jpeg": ".jpg"}


@dataclass(frozen=True, slots=True)
class Painted:
    """A picture as a part of the answer, the same by its URL, and the interim ones."""

    inline: dict[str, Any]
    shown: dict[str, Any]
    thoughts: list[dict[str, Any]]
    files: tuple[str, ...]


async def paint(desk: Desk, asked: Asked, call: PaidCall) -> Painted:
    """Draw; an interim picture only where thoughts are to be shown."""
    picture = _picture(asked, call)
    path, data = await desk.draw(picture, asked.model.name, TAILS[picture.format])
    if not asked.body.generation_config.thinking_config.include_thoughts:
        return Painted(inline(picture, data), shown(picture, path), [], (path,))
    draft = replace(picture, seed=picture.seed + 1, width=DRAFT_SIDE, height=DRAFT_SIDE)
    at, interim = await desk.draw(draft, asked.model.name, TAILS[picture.format])
    thoughts = [
        {"text": "Thinking about the composition.", "thought": True},
        {"inlineData": inline(draft, interim), "thought": True},
    ]
    return Painted(inline(picture, data), shown(picture, path), thoughts, (path, at))


def inline(picture: Picture, data: bytes) -> dict[str, Any]:
    """Return a picture's bytes as a part carries them."""
    return {"mimeType": picture.content_type, "data": base64.b64encode(data).decode()}


def shown(picture: Picture, path: str) -> dict[str, Any]:
    """Return a picture as a record shows it."""
    return {"url": f"/cdn/{path}", "content_type": picture.content_type}


def notes_of(pictures: Sequence[Seen]) -> tuple[str, ...]:
    """Return the lines that say which pictures came in."""
    return tuple(f"input {number}: {picture}" for number, picture in enumerate(pictures[:MAX_NOTES], 1))


def _picture(asked: Asked, call: PaidCall) -> Picture:
    options = asked.body.generation_config.image_config.image_output_options
    return Picture(
        *picture_size(asked.ratio, asked.size),
        format=(options.mime_type or "image/png").removeprefix("image/"),
        model=asked.model.name,
        prompt=asked.facts.prompt[:400],
        seed=call.seed,
        fingerprint=asked.fingerprint,
        notes=notes_of(asked.facts.pictures),
        style=Style.BLACK if call.is_hit_by(What.BLACK) else Style.SCENE,
        backdrop=sheet(asked.facts.pictures),
    )
