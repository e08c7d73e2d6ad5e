"""Removes one safety in the copy of the source, to show that the checks notice it.

A patch raises PatchError unless its text is in the file exactly once: if the code has changed, the patch must follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class PatchError(RuntimeError):
    """The text to patch is not in the file exactly once."""


@dataclass(frozen=True)
class Patch:
    """A text in a file, and its replacement."""

    file: str
    text: str
    replacement: str


PATCHES: Mapping[str, tuple[Patch, ...]] = {
    "guard": (  # without it the SDK repeats lost submissions
        Patch(
            "worker/providers/fal/guard.py",
            "        if not self._may_get_key(request.url):\n",
            "        return await self._inner.handle_async_request(request)\n        if True:\n",
        ),
    ),
    "fence": (Patch("worker/ledger/write.lua", "if row[1] ~= ARGV[2] then return 0 end\n", ""),),
    "sent": (  # no row before the message: until a worker has it, the message is the only record
        Patch(
            "worker/edge/sending.py",
            "job_id = _patiently(lambda: producer().send(job, wait_s, key), patience_s)",
            "job_id = job.id",
        ),
    ),
    "intent": (  # an intent that a crash left is submitted again, as if it had never been sent
        Patch(
            "worker/engine/advance.py",
            """        case Stage.SUBMITTING:
            return Transition(job.move(Stage.UNKNOWN, tries=0))
""",
            """        case Stage.SUBMITTING:
            return await _submit(context, job, step_input)
""",
        ),
    ),
}

SCALE_CHANGES: Mapping[str | None, Mapping[str, Any]] = {  # changes of the plan that show the violation soon
    "guard": {"faults": ("drop", "nginx")},
    "fence": {"kill_s": 5.0, "freeze_s": 5.0, "slow_at": ("result", "file"), "slow_times": 15},
    "sent": {"steal_s": 1.0},
    "intent": {"freeze_s": 60.0, "slow_at": ("submit",)},
}

BROKEN_PROMISE: Mapping[str, str] = {  # the promise that each of them breaks, perhaps among others
    "guard": "paid_once",
    "fence": "one_ending",
    "sent": "no_job_lost",
    "intent": "paid_once",
}


def apply(copy: Path, name: str) -> None:
    """Remove this safety in the copy."""
    for patch in PATCHES[name]:
        path = copy / patch.file
        source = path.read_text(encoding="utf-8")
        if (count := source.count(patch.text)) != 1:
            raise PatchError(f"--without {name}: {patch.file} has {count} times, not once:\n{patch.text}")
        path.write_text(source.replace(patch.text, patch.replacement), encoding="utf-8")
