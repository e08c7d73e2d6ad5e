"""One good call of every task: the demo sends it, and the tests build on it. A new task adds its call here.

A call has what its task needs and little more. A text like `@photo` names a sample file: the demo draws it
(`worker.cli.demo.samples`), or makes it with the task that `MADE_BY` names. `call_of` replaces the names.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

PHOTO, MASK, GARMENT, DATASET = "@photo", "@mask", "@garment", "@dataset"  # drawn
CLIP, SPEECH = "@clip", "@speech"  # made
MADE_BY: Mapping[str, str] = MappingProxyType({CLIP: "video.text_to_video", SPEECH: "audio.speak"})

CALLS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "audio.speak": {"text": "A kiln at night."},
        "audio.transcribe": {"audio": SPEECH},
        "editing.blend": {"base": PHOTO, "over": GARMENT, "mask": MASK},
        "editing.contact_sheet": {"images": [PHOTO, GARMENT]},
        "editing.cut": {"image": PHOTO, "box": {"x_min": 264, "y_min": 96, "x_max": 504, "y_max": 410}},
        "editing.erase": {"image": PHOTO, "mask": MASK},
        "editing.expand": {"image": PHOTO, "ratio": "16:9"},
        "editing.fix_face": {"image": PHOTO},
        "editing.fix_garment": {"image": PHOTO, "garment": "the coat", "prompt": "a red wool coat"},
        "editing.grow_mask": {"mask": MASK},
        "editing.inpaint": {"image": PHOTO, "mask": MASK, "prompt": "a chest pocket"},
        "editing.overlay": {"image": PHOTO, "masks": [MASK]},
        "editing.remove_background": {"image": PHOTO},
        "editing.replace_background": {"image": PHOTO, "prompt": "a beach"},
        "editing.sticker": {"prompt": "a fox"},
        "editing.try_on": {"person": PHOTO, "garment": GARMENT},
        "editing.upscale": {"image": PHOTO},
        "generation.batch": {"prompts": ["a kiln", "a cup"], "num_images": 2},
        "generation.comfy": {
            "workflow": {
                "1": {"class_type": "StringInput_fal", "inputs": {"name": "prompt", "value": "a kiln"}},
                "2": {"class_type": "LoadImage", "inputs": {"image": PHOTO}},
                "3": {"class_type": "KSampler", "inputs": {"prompt": ["1", 0], "image": ["2", 0]}},
                "4": {"class_type": "SaveImage_fal", "inputs": {"images": ["3", 0], "output_name": "final"}},
            },
            "inputs": {"prompt": "a kiln at night"},
        },
        "generation.image_to_image": {"images": [PHOTO], "prompt": "a kiln at night"},
        "generation.run": {"model": "fal-ai/hunyuan3d/v2", "arguments": {"input_image_url": PHOTO}},
        "generation.text_to_image": {"prompt": "a kiln at night"},
        "generation.workflow": {"model": "flux-krea-lora-i2i", "inputs": {"prompt": "a kiln at night", "image": PHOTO}},
        "language.analyse": {"images": [PHOTO], "questions": ["Which is red?"]},
        "language.caption": {"images": [PHOTO, GARMENT]},
        "language.complete": {"prompt": "What is a kiln?"},
        "language.filter": {"products": [{"name": "mug"}], "images": [PHOTO]},
        "language.style": {"wardrobe": [{"name": "coat", "image": GARMENT}], "outfits": 1},
        "training.lora": {"images_data_url": DATASET},
        "training.pack": {"images": [PHOTO, GARMENT], "captions": ["a photo", "a coat"]},
        "training.prepare": {"images": [PHOTO, GARMENT]},
        "training.unpack": {"archive": DATASET},
        "training.lora_with_samples": {"images_data_url": DATASET, "sample_prompts": ["a mug on a table"]},
        "video.extend": {"video": CLIP, "prompt": "it turns"},
        "video.image_to_video": {"image": PHOTO, "prompt": "it turns"},
        "video.reference_to_video": {"images": [PHOTO], "prompt": "it turns"},
        "video.text_to_video": {"prompt": "a cup turns"},
        "vision.ask": {"image": PHOTO, "question": "Which is red?"},
        "vision.describe": {"image": PHOTO},
        "vision.detect": {"image": PHOTO, "prompt": "kiln"},
        "vision.detect_faces": {"image": PHOTO},
        "vision.point": {"image": PHOTO, "prompt": "kiln"},
        "vision.segment": {"image": PHOTO, "prompt": "kiln"},
    }
)


def call_of(task: str, files: Mapping[str, str]) -> dict[str, Any]:
    """The good call of a task with these files, by the names of samples. Raises `KeyError` for a task without one."""
    return {name: _with_files(value, files) for name, value in CALLS[task].items()}


def samples_of(value: Any) -> Iterator[str]:
    """The names of sample files in a call."""
    match value:
        case str() if value.startswith("@"):
            yield value
        case Mapping():
            for each in value.values():
                yield from samples_of(each)
        case list():
            for each in value:
                yield from samples_of(each)


def _with_files(value: Any, files: Mapping[str, str]) -> Any:
    match value:
        case str():
            return files.get(value, value)
        case Mapping():
            return {name: _with_files(each, files) for name, each in value.items()}
        case list():
            return [_with_files(each, files) for each in value]
        case _:
            return value
