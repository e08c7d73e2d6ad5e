"""Old and new versions side by side: workers, the gateway and the callers change their version during a run.

The plan passes all eight combinations, one change at a time, and rolls each of the three back once. Workers change one
after another, so that both versions work on the same rows in between.

Left out, because the old version does not survive them: jobs at providers that answer inside the call, cancels before a
row, a frozen Redis, lists that fail, are forbidden or lag, errors after fal has taken the job, hostile messages, bad
rows, and another Celery in the same Redis. It may not know the tasks of `task_kinds`. The audit is left out, too: each version books its own prices.
"""

from pathlib import Path
from random import Random

from tests.chaos.load import AT_ONCE, REVOKED_EARLY, WEIGHTS
from tests.chaos.plan import Disruption, worker_names
from tests.chaos.task_kinds import TASK_KINDS
from worker.cli.processes.stack import Stack

OLD, NEW = "old", "new"
PARTS = ("workers", "gateway", "callers")
LEFT_OUT_KINDS = AT_ONCE | REVOKED_EARLY | {"film", "burst", "bomb"} | TASK_KINDS.keys()
OLD_WEIGHTS = {kind: weight for kind, weight in WEIGHTS.items() if kind not in LEFT_OUT_KINDS}
LEFT_OUT = (
    *sorted(LEFT_OUT_KINDS), "frozen Redis", "bad lists", "errors after taking", "hostile messages", "bad rows",
    "a shop beside us", "audit",
)  # fmt: skip
OLD_SCALE = {"redis_freeze_s": 0.0, "list_s": 0.0, "taken_s": 0.0, "hostile_s": 0.0, "break_row_s": 0.0}
CHANGES = (2, 1, 2, 0, 2, 1, 2, 0)  # the part that changes next: a Gray code passes every combination and returns


def draw_changes(random: Random, seconds: float, workers: int) -> list[Disruption]:
    """Return the changes of version; all parts begin with the old one and end with the new one."""
    parts = random.sample(PARTS, len(PARTS))
    is_new = dict.fromkeys(PARTS, False)
    gap = seconds / (len(CHANGES) + 1)
    found: list[Disruption] = []
    for n, place in enumerate(CHANGES):
        part = parts[place]
        is_new[part] = not is_new[part]
        found += _change(part, (n + 1) * gap, gap, NEW if is_new[part] else OLD, workers)
    for part in PARTS:
        found += _change(part, seconds, gap, NEW, workers)
    return found


def _change(part: str, at_s: float, within_s: float, version: str, workers: int) -> list[Disruption]:
    names = worker_names(workers) if part == "workers" else [part]
    gap = 0.7 * within_s / len(names)
    return [
        Disruption(round(at_s + n * gap, 1), "change", name, 0.0, {"version": version}) for n, name in enumerate(names)
    ]


class Versions:
    """The folders of both versions, and the version that the callers use."""

    def __init__(self, stack: Stack, folders: dict[str, Path]) -> None:
        self._stack, self._folders = stack, folders
        self.callers = OLD

    @property
    def old_folder(self) -> Path:
        """The copy of the old version."""
        return self._folders[OLD]

    def environment(self, version: str) -> dict[str, str]:
        """Return the variables of a process of a version."""
        return {"PYTHONPATH": str(self._folders[version])}

    def change(self, name: str, version: str) -> None:
        """Stop a process and start it with this version; for the callers: use it from now on."""
        if name == "callers":
            self.callers = version
            return
        child = self._stack[name]
        child.stop(grace_s=60)
        child.env |= self.environment(version)
        child.start()
        child.wait_ready()
