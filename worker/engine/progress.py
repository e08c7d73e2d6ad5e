"""What is shown of a run under way, read from its provider's status. Pure."""

import re

from worker.jobs.job import Observation
from worker.providers.base import Queued, Running

_SHARE = re.compile(r"(?<!\d)(\d{1,3})%\||(?<!\d)(\d{1,9})\s*/\s*(\d{1,9})(?!\d)")


def observe(run_status: Queued | Running, before: Observation, estimate: float, now: float) -> Observation:
    """The next observation. `estimate` is the progress by time alone; it never goes back.

    Progress in a log line counts instead, even if it is less than before: a download's bar comes before a training's.
    """
    if isinstance(run_status, Queued):
        return Observation(queue_position=run_status.position, queued_at=now)
    logged = progress_in_logs(run_status.logs)
    progress = max(before.progress or 0.0, estimate) if logged is None else logged
    is_estimated = logged is None and before.progress_estimated
    return Observation(True, None, before.queued_at, progress, is_estimated, run_status.logs)


def progress_in_logs(logs: tuple[str, ...]) -> float | None:
    """The share, 0 to 1, in the newest log line that has one: `34%|███` as tqdm prints it, or `340/1000`."""
    for line in reversed(logs):
        if match := _SHARE.search(line):
            percent, done, total = match.groups()
            share = int(percent) / 100 if percent else int(done) / max(int(total), 1)
            if 0 <= share <= 1:
                return round(share, 3)
    return None
