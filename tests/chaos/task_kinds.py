"""Kinds of the load that are one job of one task, as data: what is asked, what the result has, and how often it is drawn.

A task is added with one entry here and its name in `tests.chaos.caller.TASKS`; a pipeline also has its steps in
`tests.chaos.pipelines`. No older version is sent these jobs: it may not know the task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.marked_files import archive, clip, mask, picture, sound


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
    count: int = 1  # of the pieces


def _sticker(mark: str) -> dict[str, Any]:
    return {"prompt": mark}


def _photo(mark: str, **others: Any) -> dict[str, Any]:
    return {"image": picture(mark), **others}


def _masked(mark: str, **others: Any) -> dict[str, Any]:
    return {"image": picture(mark), "mask": mask(mark), "paints": "white", **others}


def _training(mark: str) -> dict[str, Any]:
    return {"images_data_url": archive(mark), "trigger_word": mark, "steps": 100, "sample_prompts": [mark]}


def _batch(mark: str) -> dict[str, Any]:
    return {"prompts": [mark], "model": "flux-schnell", "seeds": [1, 2]}


def _question(mark: str) -> dict[str, Any]:
    return {"prompt": mark, "llm": "openai/gpt-4.1"}


def _workflow(mark: str) -> dict[str, Any]:
    nodes = {
        "1": {"class_type": "StringInput_fal", "inputs": {"name": "prompt", "value": mark}},
        "2": {"class_type": "KSampler", "inputs": {"prompt": ["1", 0]}},
        "3": {"class_type": "SaveImage_fal", "inputs": {"images": ["2", 0], "output_name": "final"}},
    }
    return {"workflow": nodes}


def _equal(mark: str) -> dict[str, Any]:
    return {"prompt": mark, "model": "flux-schnell", "reuse_s": 60}


def _pipeline(task: str, fields: Callable[[str], dict[str, Any]], weight: int, is_cancelled: bool = False) -> TaskKind:
    return TaskKind(task, f"pipeline:{task}", "images", fields, weight, "pipeline", is_cancelled)


TASK_KINDS: Mapping[str, TaskKind] = {
    "redrawn": TaskKind(
        "generation.image_to_image", "flux-dev-image-to-image", "images",
        lambda mark: {"images": [picture(mark)], "prompt": mark},
    ),
    "cut out": TaskKind("editing.remove_background", "rembg", "images", _photo),
    "upscaled": TaskKind("editing.upscale", "seedvr-upscale", "images", _photo),
    "inpainted": TaskKind("editing.inpaint", "flux-fill", "images", lambda mark: _masked(mark, prompt=mark)),
    "erased": TaskKind("editing.erase", "bria-eraser", "images", _masked, 2),
    "expanded": TaskKind("editing.expand", "bria-expand", "images", lambda mark: _photo(mark, ratio="16:9"), 2),
    "another background": TaskKind(
        "editing.replace_background", "bria-replace-background", "images", lambda mark: _photo(mark, prompt="a beach"), 2
    ),
    "tried on": TaskKind(
        "editing.try_on", "fashn-v1.6", "images",
        lambda mark: {"person": picture(mark), "garment": picture(mark, shade=20)}, 2,
    ),
    "segmented": TaskKind("vision.segment", "sam-3", "masks", lambda mark: _photo(mark, prompt="the coat")),
    "detected": TaskKind("vision.detect", "moondream3-detect", "objects", lambda mark: _photo(mark, prompt="a coat")),
    "faces": TaskKind("vision.detect_faces", "moondream3-detect", "objects", _photo, 2),
    "pointed": TaskKind("vision.point", "moondream3-point", "points", lambda mark: _photo(mark, prompt="a coat"), 2),
    "asked": TaskKind("vision.ask", "moondream3-query", "answer", lambda mark: _photo(mark, question=mark), 2),
    "described": TaskKind("vision.describe", "moondream3-caption", "description", _photo, 2),
    "spoken": TaskKind("audio.speak", "kokoro", "audio", lambda mark: {"text": mark}),
    "transcribed": TaskKind("audio.transcribe", "scribe-v2", "text", lambda mark: {"audio": sound(mark)}),
    "clip": TaskKind(
        "video.text_to_video", "veo-3.1-fast-text", "video", lambda mark: {"prompt": mark, "duration_s": 4}, 3
    ),
    "clip of pictures": TaskKind(
        "video.reference_to_video", "veo-3.1-reference", "video",
        lambda mark: {"prompt": mark, "images": [picture(mark)]}, 2,
    ),
    "sticker": _pipeline("editing.sticker", _sticker, 5),
    "sticker cancelled": _pipeline("editing.sticker", _sticker, 4, is_cancelled=True),
    "garment": _pipeline("editing.fix_garment", lambda mark: _photo(mark, garment="the coat", prompt=mark), 3),
    "face": _pipeline("editing.fix_face", lambda mark: _photo(mark, prompt=mark), 2),
    "batch": TaskKind(
        "generation.batch", "pipeline:generation.batch", "images", _batch, 3, "pipeline", count=2
    ),
    "any endpoint": TaskKind(
        "generation.run", "fal-ai/flux/schnell", "images", lambda mark: {"arguments": {"prompt": mark}}, 3
    ),
    "completed": TaskKind("language.complete", "openrouter", "text", _question, 3),
    "extended": TaskKind(
        "video.extend", "veo-3.1-extend", "video", lambda mark: {"video": clip(), "prompt": mark}, 2
    ),
    "workflow": TaskKind(
        "generation.workflow", "flux-krea-lora-i2i", "images",
        lambda mark: {"inputs": {"prompt": mark, "image": picture(mark)}}, 2,
    ),
    "comfy": TaskKind("generation.comfy", "comfy-server", "images", _workflow, 2, "fal-stream"),
    "analysed": TaskKind(
        "language.analyse", "gemini-3.8-flash", "answer", lambda mark: {"images": [picture(mark)], "questions": [mark]},
        2, "gemini",
    ),
    "filtered": TaskKind(
        "language.filter", "gemini-3.8-flash", "answer",
        lambda mark: {"images": [picture(mark)], "products": [{"name": mark}]}, 2, "gemini",
    ),
    "equal": TaskKind("generation.text_to_image", "pipeline:shared:flux-schnell", "images", _equal, 4),
    "equal cancelled": TaskKind(
        "generation.text_to_image", "pipeline:shared:flux-schnell", "images", _equal, 2, is_cancelled=True
    ),
    "training with samples": _pipeline("training.lora_with_samples", _training, 2),
}  # fmt: skip
PACE = {  # seconds of a run at the twin
    "fal-ai/veo3.1/extend-video": 2.0,
    "fal-ai/comfy-server": 1.5,
    "workflows/Shootify/flux-krea-lora-i2i": 1.5,
    "fal-ai/flux/dev/image-to-image": 1.5,
    "fal-ai/imageutils/rembg": 1.0,
    "fal-ai/seedvr/upscale/image": 1.5,
    "fal-ai/flux-lora-fill": 1.5,
    "fal-ai/sam-3/image": 1.0,
    "fal-ai/moondream3-preview/detect": 1.0,
    "fal-ai/kokoro/american-english": 1.0,
    "fal-ai/elevenlabs/speech-to-text/scribe-v2": 2.0,
    "fal-ai/veo3.1/fast": 2.0,
    "fal-ai/veo3.1/reference-to-video": 2.0,
    "fal-ai/bria/eraser": 1.5,
    "fal-ai/bria/expand": 1.5,
    "fal-ai/bria/background/replace": 1.5,
    "fal-ai/fashn/tryon/v1.6": 2.0,
    "fal-ai/moondream3-preview/point": 1.0,
    "fal-ai/moondream3-preview/query": 1.0,
    "fal-ai/moondream3-preview/caption": 1.0,
}
