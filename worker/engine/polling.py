"""When to poll a run, and what is shown of it. Pure. Polling is the safety net under webhooks.

The times come from the model's usual duration.

A short job is first polled just before it usually ends, then in growing steps: polling adds a fraction of the job's own
duration to its latency. A long job is polled often enough for live progress and logs.
"""

import re

from worker.jobs.job import Observation
from worker.providers.base import Queued, Running

LIVE_FROM_S = 15.0  # jobs that usually take longer are polled for live progress
FIRST_MIN_S, STEP_MIN_S, STEP_MAX_S = 0.3, 0.4, 15.0
LATE_S = 0.05  # a process that polls so late is busy
BEHIND_S = 0.5  # so late after a webhook; an idle process sees one within 0.25 s
SWEEP_MIN_S = 2.0  # after its usual end, for its webhook to come
UNKNOWN_MIN_S, UNKNOWN_MAX_S = 60.0, 3600.0
_SHARE = re.compile(r"(?<!\d)(\d{1,3})%\||(?<!\d)(\d{1,9})\s*/\s*(\d{1,9})(?!\d)")


def first_poll_s(usual_s: float, webhooks: bool = False) -> float:
    """Seconds from the ticket to the first poll. With webhooks a short job is polled only if its webhook is late."""
    if usual_s > LIVE_FROM_S:
        return _live_step(usual_s)
    return 1.5 * usual_s + SWEEP_MIN_S if webhooks else max(FIRST_MIN_S, 0.8 * usual_s)


def next_poll_s(
    usual_s: float, elapsed_s: float, running: bool, chance: float, webhooks: bool = False, late_s: float = 0.0
) -> float:
    """Seconds from one poll to the next. `chance` in [0, 1) spreads jobs that were submitted together.

    A job in the provider's queue cannot end before it has run, so it is polled after half of its usual duration at the
    earliest. A poll that came `late_s` too late shows a busy process, which then polls less often.
    """
    live = usual_s > LIVE_FROM_S and elapsed_s < 2 * usual_s
    share = 1 / 2 if webhooks or late_s > LATE_S else 1 / 3
    step = _live_step(usual_s) if live else max(STEP_MIN_S, elapsed_s * share)
    if not running:
        step = max(step, min(usual_s / 2, 5.0))
    return min(step, STEP_MAX_S) * (0.85 + 0.3 * chance)


def _live_step(usual_s: float) -> float:
    return min(max(usual_s / 40, 2.0), STEP_MAX_S)


def estimated_progress(usual_s: float, elapsed_s: float) -> float:
    """The progress from time alone, 0 to 0.95. It is an estimate and is marked as one."""
    return round(min(0.95, elapsed_s / max(usual_s * 1.2, 0.1)), 3)


def unknown_wait_s(usual_s: float) -> float:
    """Seconds for which a lost submission is searched: fal lists a run only when it has ended."""
    return min(UNKNOWN_MIN_S + 4 * usual_s, UNKNOWN_MAX_S)


def search_again_s(waited_s: float) -> float:
    """Seconds from one search for it to the next."""
    return min(max(2.0, waited_s / 4), 30.0)


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
