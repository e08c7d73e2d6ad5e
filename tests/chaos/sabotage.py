"""Takes a safety away in the copy of the source, so that the checker can be seen to notice.

A patch that does not find its text exactly once fails loudly: the code has moved on, and the patch has to follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class PatchError(RuntimeError):
    """The text to patch is not there exactly once."""


@dataclass(frozen=True)
class Patch:
    """A text in a file, and what stands there instead."""

    file: str
    text: str
    instead: str


PATCHES: Mapping[str, tuple[Patch, ...]] = {
    "guard": (  # the SDK repeats lost submissions by itself
        Patch(
            "worker/providers/fal/guard.py",
            "        if not self._may_get_key(request.url):\n",
            "        return await self._inner.handle_async_request(request)\n        if True:\n",
        ),
    ),
    "fence": (Patch("worker/ledger/write.lua", "if row[1] ~= ARGV[2] then return 0 end\n", ""),),
    "sent": (  # a message is all that there is until a worker has it
        Patch(
            "worker/edge/sending.py",
            "job_id = producer().send(job, _delay_s(options) + ACCEPT_WITHIN_S, key)",
            "job_id = job.id",
        ),
    ),
    "intent": (  # an intent that a crash has left is taken for one that was never sent
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

FAVOURED: Mapping[str | None, Mapping[str, Any]] = {  # what a run's plan has more of, to show it soon
    "guard": {"faults": ("drop", "nginx")},
    "fence": {"kill_s": 5.0, "freeze_s": 5.0, "slow_at": ("result", "file"), "slow_times": 15},
    "sent": {"steal_s": 1.0},
    "intent": {"freeze_s": 60.0, "slow_at": ("submit",)},
}

SHOWN_BY: Mapping[str, str] = {  # the promise that each of them breaks, whatever else
    "guard": "paid_once",
    "fence": "one_ending",
    "sent": "no_job_lost",
    "intent": "paid_once",
}


def apply(copy: Path, name: str) -> None:
    """Take this safety away."""
    for patch in PATCHES[name]:
        path = copy / patch.file
        source = path.read_text(encoding="utf-8")
        if (count := source.count(patch.text)) != 1:
            raise PatchError(f"--without {name}: {patch.file} has {count} times, not once:\n{patch.text}")
        path.write_text(source.replace(patch.text, patch.instead), encoding="utf-8")
