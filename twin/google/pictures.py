"""Draws the picture of an image model from the prompt, the seed and the input pictures."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twin.call_service import CallService
from twin.google.checked_request import CheckedRequest
from twin.google.models import picture_size
from twin.input_picture import InputPicture, contact_sheet
from twin.paid_calls import PaidCall
from twin.picture import Picture, Style
from twin.script import FaultKind

MAX_NOTES = 6
DRAFT_SIDE = 512
SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """A picture with its bytes for the answer, with its URL for `/_twin/requests`, and its interim pictures."""

    inline_data: dict[str, Any]
    recorded: dict[str, Any]
    thoughts: list[dict[str, Any]]
    files: tuple[str, ...]


async def draw_answer(service: CallService, checked: CheckedRequest, call: PaidCall) -> DrawnPicture:
    """Draw the picture of an answer, and an interim picture if the request includes thoughts."""
    picture = _picture(checked, call)
    path, data = await service.draw(picture, checked.model.name, SUFFIXES[picture.format])
    if not checked.body.generation_config.thinking_config.include_thoughts:
        return DrawnPicture(inline_data(picture, data), recorded_picture(picture, path), [], (path,))
    draft = replace(picture, seed=picture.seed + 1, width=DRAFT_SIDE, height=DRAFT_SIDE)
    at, interim = await service.draw(draft, checked.model.name, SUFFIXES[picture.format])
    thoughts = [
        {"text": "Thinking about the composition.", "thought": True},
        {"inlineData": inline_data(draft, interim), "thought": True},
    ]
    return DrawnPicture(inline_data(picture, data), recorded_picture(picture, path), thoughts, (path, at))


def inline_data(picture: Picture, data: bytes) -> dict[str, Any]:
    """Return `inlineData` of a picture."""
    return {"mimeType": picture.content_type, "data": base64.b64encode(data).decode()}


def recorded_picture(picture: Picture, path: str) -> dict[str, Any]:
    """Return a picture as `/_twin/requests` shows it."""
    return {"url": f"/cdn/{path}", "content_type": picture.content_type}


def notes_of(pictures: Sequence[InputPicture]) -> tuple[str, ...]:
    """Return the lines that name the input pictures; they are written on the output."""
    return tuple(f"input {number}: {picture}" for number, picture in enumerate(pictures[:MAX_NOTES], 1))


def _picture(checked: CheckedRequest, call: PaidCall) -> Picture:
    options = checked.body.generation_config.image_config.image_output_options
    return Picture(
        *picture_size(checked.ratio, checked.size),
        format=(options.mime_type or "image/png").removeprefix("image/"),
        model=checked.model.name,
        prompt=checked.facts.prompt[:400],
        seed=call.seed,
        fingerprint=checked.fingerprint,
        notes=notes_of(checked.facts.pictures),
        style=Style.BLACK if call.has_fault(FaultKind.BLACK) else Style.SCENE,
        backdrop=contact_sheet(checked.facts.pictures),
    )
