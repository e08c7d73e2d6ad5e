"""Following jobs to their end. How they are shown is `worker.cli.screen.jobs`."""

import time
from collections.abc import Callable, Mapping, Sequence

from worker.cli.screen.jobs import Screen
from worker.cli.screen.watch import Seen, Watched

EVERY_S = 0.2


def follow(
    jobs: Sequence[Watched],
    see: Callable[[str], Seen],
    screen: Screen,
    pause: Callable[[float], None] = time.sleep,
    timeout_s: float | None = None,
) -> dict[str, Seen]:
    """Look until all have ended, or the time is over; what was seen last, by job id."""
    start = time.monotonic()
    seen: dict[str, Seen] = {}
    try:
        while True:
            seen |= {job.job_id: see(job.job_id) for job in jobs if not _over(seen, job)}
            elapsed = time.monotonic() - start
            screen.show([(job, seen[job.job_id]) for job in jobs], elapsed)
            if all(_over(seen, job) for job in jobs) or (timeout_s is not None and elapsed >= timeout_s):
                return seen
            pause(EVERY_S)
    finally:
        screen.close()


def _over(seen: Mapping[str, Seen], job: Watched) -> bool:
    return job.job_id in seen and seen[job.job_id].has_ended
