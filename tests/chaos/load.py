"""The load: jobs of mixed kinds for every provider, drawn from a seed. `producer` sends them.

Each request has a mark in one of its texts, so that the twin's record shows which job it belongs to. No job may fall
back to another provider, so each provider's figures are its own. The tenant `noisy` sends bursts, jobs that fail, and
pictures that are small files and large bitmaps.
"""

import base64
import io
import json
import re
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from tests.chaos import marked_files, task_kinds
from tests.chaos.pipelines import STEPS
from tests.chaos.task_kinds import TASK_KINDS

MARK = re.compile(r"chaos job (\d+)\.(\d+)")
PACE = {  # seconds of a run at the twin
    "fal-ai/flux/schnell": 0.6,
    "fal-ai/flux/dev": 5.0,
    "fal-ai/flux-lora": 2.0,
    "fal-ai/flux-lora-fast-training": 3.0,
    "fal-ai/veo3.1/fast/image-to-video": 2.0,
    "gemini-nano-banana-2.1": 4.0,
    "gemini-3.8-flash": 3.0,
    "claude-haiku-5-5": 3.0,
    "veo-3.1-lite-generate-001": 3.0,
    **task_kinds.PACE,
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
    "vertex": 10,
    "gemini": 6,
    "claude": 6,
    "film": 2,
    "next revoked": 5,
    "body revoked": 2,
    "burst": 3,
    "bomb": 3,
    **{kind: each.weight for kind, each in TASK_KINDS.items()},
}
AT_ONCE = frozenset({"vertex", "gemini", "claude"})  # kinds whose provider answers inside the call, and lists nothing
REVOKED_EARLY = frozenset({"next revoked", "body revoked"})  # kinds whose last part is cancelled before it has a row
STOPPED_AFTER_S = {
    "revoked": (0.2, 4.0),
    "cancelled": (0.2, 4.0),
    "next revoked": (0.1, 1.2),
    "body revoked": (0.1, 0.5),
    **{kind: (0.2, 4.0) for kind, each in TASK_KINDS.items() if each.is_cancelled},
}
LONG_DEADLINE_S = 420.0  # for jobs that can get stuck at a slow model, so that the run ends


@dataclass(frozen=True)
class JobSpec:
    """One job: the task's name, its fields, its model, and the pieces that its result must have."""

    task: str
    fields: dict[str, Any]
    model: str
    piece: str
    count: int = 1
    provider: str = "fal"


@dataclass(frozen=True)
class LoadItem:
    """The jobs of one caller: one job, or a chain, group or chord. `stop_after_s` is the time of the cancel."""

    number: int
    at_s: float
    kind: str
    parts: tuple[JobSpec, ...]
    key: str | None = None
    stop_after_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)


def draw(random: Random, jobs: int, seconds: float, weights: dict[str, int] = WEIGHTS) -> list[LoadItem]:
    """Return items with at least this number of jobs, with the steps of pipelines, at a constant rate over this number of seconds."""
    kinds: list[tuple[str, tuple[JobSpec, ...]]] = []
    count = 0
    while count < jobs:
        kind = random.choices(list(weights), list(weights.values()))[0]
        parts = _parts(random, kind, len(kinds) + 1)
        kinds.append((kind, parts))
        count += sum(1 + len(STEPS.get(part.model, ())) for part in parts)
    gap = seconds / len(kinds)
    return [_item(random, n + 1, round(n * gap, 2), kind, parts) for n, (kind, parts) in enumerate(kinds)]


def _item(random: Random, number: int, at_s: float, kind: str, parts: tuple[JobSpec, ...]) -> LoadItem:
    key = f"chaos-{number}" if kind == "once" else None
    stop = round(random.uniform(*STOPPED_AFTER_S[kind]), 1) if kind in STOPPED_AFTER_S else None
    return LoadItem(number, at_s, kind, parts, key, stop)


def _parts(random: Random, kind: str, number: int) -> tuple[JobSpec, ...]:
    match kind:
        case "pictures":
            return (picture(number, count=random.randint(2, 4)),)
        case "chain":
            return (picture(number, image_size="landscape_16_9"), video(number, 2))
        case "next revoked":
            return (picture(number, model="flux-lora"), picture(number, 2))
        case "group":
            return tuple(picture(number, n + 1) for n in range(3))
        case "chord" | "body revoked":
            return tuple(picture(number, n + 1) for n in range(3))  # the last one is the body
        case "training":
            return (training(number),)
        case "video":
            return (video(number, 1, image=marked_files.picture(mark(number))),)
        case "revoked" | "cancelled":
            slow = random.random() < 0.7
            return (picture(number, model="flux-dev" if slow else "flux-schnell", deadline_s=120.0),)
        case "deadline":
            return (picture(number, model="flux-dev", deadline_s=random.choice([1.0, 3.0, 8.0])),)
        case "doomed":
            unknown = {"image_url": "http://127.0.0.1:9/nothing.png"}  # fal accepts the job and cannot fetch the file
            return (picture(number, model="flux-lora", extra=unknown, tenant="noisy"),)
        case "burst":
            return tuple(picture(number, n + 1, tenant="noisy") for n in range(8))
        case "bomb":
            return (replace_fields(caption(number), images=[_black()] * 2, tenant="noisy"),)
        case "invalid":
            return (picture(number, image_size="enormous"),)
        case "vertex" | "gemini" | "claude":
            return (_at_once(random, kind, number),)
        case "film":
            return (film(number),)
        case _ if kind in TASK_KINDS:
            return (of_task(kind, number),)
    return (picture(number),)


def _at_once(random: Random, kind: str, number: int) -> JobSpec:
    """Return a job for a provider that answers inside the call; some say whether it may be paid for twice."""
    spec = {"vertex": vertex_picture, "gemini": outfit, "claude": caption}[kind](number)
    said = random.choice([None, "allow", "allow", "never"])
    return replace(spec, fields=spec.fields | {"duplicates": said}) if said else spec


def picture(number: int, part: int = 1, count: int = 1, model: str = "flux-schnell", **fields: Any) -> JobSpec:
    """Return a job for one or more pictures."""
    base = {
        "prompt": mark(number, part),
        "model": model,
        "image_size": "square",
        "num_images": count,
        "fallback": False,
    }
    return JobSpec("generation.text_to_image", base | fields, model, "images", count)


def video(number: int, part: int, **fields: Any) -> JobSpec:
    """Return a job for a short video; without `image` from the picture before it in a chain."""
    base = {"prompt": mark(number, part), "duration_s": 4, "deadline_s": LONG_DEADLINE_S, "fallback": False}
    return JobSpec("video.image_to_video", base | fields, "veo-3.1-fast", "video")


def training(number: int) -> JobSpec:
    """Return a job that trains a LoRA."""
    own = mark(number)
    base = {"images_data_url": marked_files.archive(own), "trigger_word": own, "steps": 100}
    return JobSpec("training.lora", base | {"deadline_s": LONG_DEADLINE_S}, "flux-lora-training", "weights")


def of_task(kind: str, number: int) -> JobSpec:
    """Return a job of one of the `task_kinds`. Its label has the mark, too, for tasks whose fields have no text."""
    asked, own = TASK_KINDS[kind], mark(number)
    base = {"labels": {"mark": own}, "deadline_s": LONG_DEADLINE_S, "fallback": False}
    model = {} if asked.model in STEPS else {"model": asked.model}
    return JobSpec(asked.task, base | model | asked.fields(own), asked.model, asked.piece, asked.count, asked.provider)


def vertex_picture(number: int) -> JobSpec:
    """Return a job for a picture by Google's model at Vertex AI."""
    base = {"prompt": mark(number), "model": "nano-banana-2.1", "image_size": "square", "fallback": False}
    return JobSpec("generation.text_to_image", base, "nano-banana-2.1", "images", provider="vertex")


def film(number: int) -> JobSpec:
    """Return a job for a video at Vertex AI, whose operation is polled."""
    own = mark(number)
    base = {"prompt": own, "model": "veo-3.1-lite", "provider": "vertex", "duration_s": 4}
    more = {"image": marked_files.picture(own), "deadline_s": LONG_DEADLINE_S, "fallback": False}
    return JobSpec("video.image_to_video", base | more, "veo-3.1-lite", "video", provider="vertex")


def outfit(number: int) -> JobSpec:
    """Return a job for an outfit by the Gemini API."""
    wardrobe = [{"name": "red coat"}, {"name": "blue jeans"}]
    base = {"wardrobe": wardrobe, "outfits": 1, "wishes": mark(number), "model": "gemini-3.8-flash", "fallback": False}
    return JobSpec("language.style", base, "gemini-3.8-flash", "answer", provider="gemini")


def caption(number: int) -> JobSpec:
    """Return a job for a picture's caption by Anthropic."""
    own = mark(number)
    base = {"images": [marked_files.picture(own)], "about": own, "model": "claude-haiku-5-5", "fallback": False}
    return JobSpec("language.caption", base, "claude-haiku-5-5", "answer", provider="anthropic")


def replace_fields(spec: JobSpec, **fields: Any) -> JobSpec:
    """Return the job with these fields changed."""
    return replace(spec, fields=spec.fields | fields)


def mark(number: int, part: int = 1) -> str:
    """Return the mark of a job."""
    return f"chaos job {number}.{part}"


def find_mark(text: str) -> tuple[int, int] | None:
    """Return the numbers of the item and the part in a text's mark; None without a mark."""
    found = MARK.search(text)
    return (int(found[1]), int(found[2])) if found else None


def mark_of(request: dict[str, Any]) -> tuple[int, int] | None:
    """Return the mark in the fields of a request, ours or the twin's."""
    text = request.get("prompt") or request.get("trigger_word")
    return find_mark(text if isinstance(text, str) else "") or find_mark(json.dumps(request))


@cache
def _black() -> str:
    """Return a small file that takes 64 megabytes when it is decoded."""
    buffer = io.BytesIO()
    Image.new("L", (8000, 8000)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
