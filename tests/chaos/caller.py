"""Sends one item of the load through Celery, in this process or in a process that runs an older version.

As a script it runs in a copy of the older version, reads one item in each line, and answers with the ids. So it imports
only what that version has, too.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import Signature, chain, chord, group
from celery.result import AsyncResult

Call = tuple[str, dict[str, Any]]  # a task's name and its fields
TASKS = {  # name -> where it is
    "generation.text_to_image": "tasks.generation:text_to_image",
    "video.image_to_video": "tasks.video:image_to_video",
    "training.lora": "tasks.training:lora",
    "language.caption": "tasks.language:caption",
    "language.style": "tasks.language:style",
    "generation.image_to_image": "tasks.generation:image_to_image",
    "editing.remove_background": "tasks.editing.background:remove_background",
    "editing.upscale": "tasks.editing.upscaling:upscale",
    "editing.inpaint": "tasks.editing.inpainting:inpaint",
    "editing.erase": "tasks.editing.erasing:erase",
    "editing.expand": "tasks.editing.expansion:expand",
    "editing.replace_background": "tasks.editing.background:replace_background",
    "editing.try_on": "tasks.editing.trying_on:try_on",
    "vision.detect_faces": "tasks.vision.detection:detect_faces",
    "vision.point": "tasks.vision.detection:point",
    "vision.ask": "tasks.vision.words:ask",
    "vision.describe": "tasks.vision.words:describe",
    "video.reference_to_video": "tasks.video:reference_to_video",
    "editing.fix_face": "tasks.pipelines.face:fix_face",
    "training.lora_with_samples": "tasks.pipelines.lora_with_samples:lora_with_samples",
    "generation.batch": "tasks.pipelines.batch:batch",
    "generation.workflow": "tasks.generation.workflows:workflow",
    "generation.comfy": "tasks.generation.comfy.task:comfy",
    "video.extend": "tasks.video:extend",
    "language.analyse": "tasks.language:analyse",
    "language.filter": "tasks.language:filter_products",
    "generation.run": "tasks.generation.running:run",
    "language.complete": "tasks.language.completion:complete",
    "vision.segment": "tasks.vision.segmentation:segment",
    "vision.detect": "tasks.vision.detection:detect",
    "audio.speak": "tasks.audio.speaking:speak",
    "audio.transcribe": "tasks.audio.transcription:transcribe",
    "video.text_to_video": "tasks.video:text_to_video",
    "editing.sticker": "tasks.pipelines.sticker:sticker",
    "editing.fix_garment": "tasks.pipelines.garment:fix_garment",
}

_IMPORTING = threading.Lock()  # modules of one package that several threads import at once are a deadlock to Python


def send(kind: str, calls: Sequence[Call], key: str | None = None) -> list[AsyncResult]:
    """Send a job, chain, group or chord; return the results of all parts, in their order. Raises what Celery raises."""
    tasks = {name: find_task(name) for name, _ in calls}
    name, fields = calls[0]
    if len(calls) == 1:
        return [tasks[name].delay(**fields, **({"idempotency_key": key} if key else {}))]
    result = canvas(kind, [tasks[name].s(**fields) for name, fields in calls]).apply_async()
    match kind:
        case "group" | "burst":
            return list(result.results)
        case "chord" | "body revoked":
            return [*result.parent.results, result]
    return [result.parent, result]


def canvas(kind: str, parts: list[Signature]) -> Signature:
    """Return the chain, group or chord of these parts. Only the second job of a plain chain takes the result before it."""
    match kind:
        case "group" | "burst":
            return group(parts)
        case "chord" | "body revoked":
            return chord(parts[:-1], parts[-1].set(immutable=True))  # `clone` ignores `immutable`
    return chain(parts[0], parts[1].set(immutable=kind != "chain"))


def find_task(name: str) -> Any:
    """Return the task of this name. Only its own module is imported: an older version does not have all of them."""
    module, _, attribute = TASKS[name].partition(":")
    with _IMPORTING:
        return getattr(importlib.import_module(module), attribute)


class CallerError(RuntimeError):
    """An error of the process that runs the older version."""


class OldCaller:
    """A process that sends with the version in a folder. Safe to use from any thread."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env={**os.environ, **environment, "PYTHONPATH": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, kind: str, calls: Sequence[Call], key: str | None = None) -> list[AsyncResult]:
        """See `send`. Raises `CallerError` with the error of that process."""
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps([kind, calls, key]) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or '{"error": "the process has ended"}')
        if "error" in answer:
            raise CallerError(answer["error"])
        return [AsyncResult(job) for job in answer["ids"]]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Answer each line until the input ends."""
    for line in sys.stdin:
        kind, calls, key = json.loads(line)
        try:
            answer: dict[str, Any] = {"ids": [result.id for result in send(kind, calls, key)]}
        except Exception as error:  # noqa: BLE001  # every error that a caller can see
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # else Celery's results connect to Redis while Python shuts down
