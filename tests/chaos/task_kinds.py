"""Kinds of the load that are one job of one task, as data: what is asked, what the result has, and how often it is drawn.

A task is added with one entry here and its name in `tests.chaos.caller.TASKS`; a pipeline also has its steps in
`tests.chaos.pipelines`. No older version is sent these jobs: it may not know the task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.marked_files import mask, picture, sound


@dataclass(frozen=True)
class TaskKind:
    """One kind. `fields` returns the request's fields from the job's mark."""

    task: str
    model: str
    piece: str  # of the result
    fields: Callable[[str], dict[str, Any]]
    weight: int = 4
    provider: str = "fal"
    is_cancelled: bool = False  # after a few seconds


def _sticker(mark: str) -> dict[str, Any]:
    return {"prompt": mark}


def _inpainting(mark: str) -> dict[str, Any]:
    return {"image": picture(mark), "mask": mask(mark), "paints": "white", "prompt": mark}


TASK_KINDS: Mapping[str, TaskKind] = {
    "redrawn": TaskKind(
        "generation.image_to_image", "flux-dev-image-to-image", "images",
        lambda mark: {"images": [picture(mark)], "prompt": mark},
    ),
    "cut out": TaskKind("editing.remove_background", "rembg", "images", lambda mark: {"image": picture(mark)}),
    "upscaled": TaskKind("editing.upscale", "seedvr-upscale", "images", lambda mark: {"image": picture(mark)}),
    "inpainted": TaskKind("editing.inpaint", "flux-fill", "images", _inpainting),
    "segmented": TaskKind(
        "vision.segment", "sam-3", "masks", lambda mark: {"image": picture(mark), "prompt": "the coat"}
    ),
    "detected": TaskKind(
        "vision.detect", "moondream3-detect", "objects", lambda mark: {"image": picture(mark), "prompt": "a coat"}
    ),
    "spoken": TaskKind("audio.speak", "kokoro", "audio", lambda mark: {"text": mark}),
    "transcribed": TaskKind("audio.transcribe", "scribe-v2", "text", lambda mark: {"audio": sound(mark)}),
    "clip": TaskKind(
        "video.text_to_video", "veo-3.1-fast-text", "video", lambda mark: {"prompt": mark, "duration_s": 4}, weight=3
    ),
    "sticker": TaskKind("editing.sticker", "pipeline:editing.sticker", "images", _sticker, 5, "pipeline"),
    "sticker cancelled": TaskKind(
        "editing.sticker", "pipeline:editing.sticker", "images", _sticker, 3, "pipeline", is_cancelled=True
    ),
    "garment": TaskKind(
        "editing.fix_garment", "pipeline:editing.fix_garment", "images",
        lambda mark: {"image": picture(mark), "garment": "the coat", "prompt": mark}, 3, "pipeline",
    ),
}  # fmt: skip
PACE = {  # seconds of a run at the twin
    "fal-ai/flux/dev/image-to-image": 1.5,
    "fal-ai/imageutils/rembg": 1.0,
    "fal-ai/seedvr/upscale/image": 1.5,
    "fal-ai/flux-lora-fill": 1.5,
    "fal-ai/sam-3/image": 1.0,
    "fal-ai/moondream3-preview/detect": 1.0,
    "fal-ai/kokoro/american-english": 1.0,
    "fal-ai/elevenlabs/speech-to-text/scribe-v2": 2.0,
    "fal-ai/veo3.1/fast": 2.0,
}
