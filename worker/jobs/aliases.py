"""The names of a compute server for fashion photography, which its backends may go on using: tasks and states. Pure.

A worker accepts a message under an alias as one of the task itself, so rows, results and Flower have our names.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from worker.jobs.status import State

OldState = Literal["pending", "running", "completed", "failed", "cancelled"]

TASK_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "GENERATION": "generation.text_to_image",
        "EDITING": "editing.inpaint",
        "VIDEO_GENERATION": "video.image_to_video",
        "TRAINING": "training.lora",
        "BACKGROUND_REMOVE": "editing.remove_background",
        "FACE_ENHANCER": "editing.fix_face",
    }
)
STATE_ALIASES: Mapping[State | Literal["PENDING"], OldState] = MappingProxyType(
    {
        "PENDING": "pending",
        "QUEUED": "pending",
        "IN_PROGRESS": "running",
        "SUCCESS": "completed",
        "FAILURE": "failed",
        "REVOKED": "cancelled",
    }
)


def task_of(name: str, more: Mapping[str, str] | None = None) -> str:
    """The task that an alias means; any other name is returned as it is. `more` are aliases of the settings."""
    return (more or {}).get(name) or TASK_ALIASES.get(name, name)
