"""What is asked for: jobs of mixed kinds, drawn from a seed. How they are sent is `producer`.

Each request carries a mark in words that the provider gets to see, so that the twin's own record tells whose it was.
"""

import base64
import io
import re
import zipfile
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from PIL import Image

MARK = re.compile(r"chaos job (\d+)\.(\d+)")
PACE = {  # seconds of a run at the twin
    "fal-ai/flux/schnell": 0.6,
    "fal-ai/flux/dev": 5.0,
    "fal-ai/flux-lora": 1.0,
    "fal-ai/flux-lora-fast-training": 3.0,
    "fal-ai/veo3.1/fast/image-to-video": 2.0,
}
WEIGHTS = {
    "picture": 30,
    "pictures": 10,
    "once": 12,
    "bare": 8,
    "invalid": 2,
    "chain": 7,
    "group": 4,
    "chord": 3,
    "training": 5,
    "video": 4,
    "revoked": 6,
    "cancelled": 5,
    "deadline": 6,
    "doomed": 4,
}
LONG_DEADLINE_S = 420.0  # for what may get stuck at a long model, so that the run has an end


@dataclass(frozen=True)
class Part:
    """One job of an ask: the task's name, its fields, the model and the pieces that its result must name."""

    task: str
    fields: dict[str, Any]
    model: str
    piece: str
    count: int = 1


@dataclass(frozen=True)
class Ask:
    """What one caller wants: one job, or several that belong together. `stop_after_s` for those that are cancelled."""

    number: int
    at_s: float
    kind: str
    parts: tuple[Part, ...]
    key: str | None = None
    stop_after_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)


def draw(random: Random, jobs: int, seconds: float, weights: dict[str, int] = WEIGHTS) -> list[Ask]:
    """Asks for at least so many jobs, at a steady rate over so many seconds."""
    kinds: list[tuple[str, tuple[Part, ...]]] = []
    count = 0
    while count < jobs:
        kind = random.choices(list(weights), list(weights.values()))[0]
        parts = _parts(random, kind, len(kinds) + 1)
        kinds.append((kind, parts))
        count += len(parts)
    gap = seconds / len(kinds)
    return [_ask(random, n + 1, round(n * gap, 2), kind, parts) for n, (kind, parts) in enumerate(kinds)]


def _ask(random: Random, number: int, at_s: float, kind: str, parts: tuple[Part, ...]) -> Ask:
    key = f"chaos-{number}" if kind == "once" else None
    stop = round(random.uniform(0.2, 4.0), 1) if kind in {"revoked", "cancelled"} else None
    return Ask(number, at_s, kind, parts, key, stop)


def _parts(random: Random, kind: str, number: int) -> tuple[Part, ...]:
    match kind:
        case "pictures":
            return (picture(number, count=random.randint(2, 4)),)
        case "chain":
            return (picture(number, image_size="landscape_16_9"), video(number, 2))
        case "group":
            return tuple(picture(number, n + 1) for n in range(3))
        case "chord":
            return tuple(picture(number, n + 1) for n in range(3))  # the last is the body
        case "training":
            return (training(number),)
        case "video":
            return (video(number, 1, image=_image()),)
        case "revoked" | "cancelled":
            slow = random.random() < 0.7
            return (picture(number, model="flux-dev" if slow else "flux-schnell", deadline_s=120.0),)
        case "deadline":
            return (picture(number, model="flux-dev", deadline_s=random.choice([1.0, 3.0, 8.0])),)
        case "doomed":
            unknown = {"image_url": "http://127.0.0.1:9/nothing.png"}  # fal takes the job, and cannot fetch it
            return (picture(number, model="flux-lora", extra=unknown),)
        case "invalid":
            return (picture(number, image_size="enormous"),)
    return (picture(number),)


def picture(number: int, part: int = 1, count: int = 1, model: str = "flux-schnell", **fields: Any) -> Part:
    """A picture, or several."""
    asked = {"prompt": f"chaos job {number}.{part}", "model": model, "image_size": "square", "num_images": count}
    return Part("generation.text_to_image", asked | fields, model, "images", count)


def video(number: int, part: int, **fields: Any) -> Part:
    """A short video; from the picture before it in a chain unless one is given."""
    asked = {"prompt": f"chaos job {number}.{part}", "duration_s": 4, "deadline_s": LONG_DEADLINE_S}
    return Part("video.image_to_video", asked | fields, "veo-3.1-fast", "video")


def training(number: int) -> Part:
    """A LoRA."""
    asked = {"images_data_url": _archive(), "trigger_word": f"chaos job {number}.1", "steps": 100}
    return Part("training.lora", asked | {"deadline_s": LONG_DEADLINE_S}, "flux-lora-training", "weights")


def marked(text: str) -> tuple[int, int] | None:
    """The number of the ask and of its part that this text was written for."""
    found = MARK.search(text)
    return (int(found[1]), int(found[2])) if found else None


def mark_of(request: dict[str, Any]) -> tuple[int, int] | None:
    """The mark in a request's fields, ours or the twin's."""
    return marked(str(request.get("prompt") or request.get("trigger_word") or ""))


@cache
def _image() -> str:
    return "data:image/png;base64," + base64.b64encode(_png(96)).decode()


@cache
def _archive() -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(4):
            archive.writestr(f"{n}.png", _png(48 + n))
    return "data:application/zip;base64," + base64.b64encode(buffer.getvalue()).decode()


def _png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side * 9 // 16), (200, 90, side)).save(buffer, "PNG")
    return buffer.getvalue()
