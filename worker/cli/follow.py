"""Follow jobs until they end, and show how a followed job ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.text import Text

from worker.cli.exit_codes import INTERRUPTED, TIMED_OUT
from worker.cli.job_snapshot import FollowedJob, JobSnapshot, read_snapshot
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.progress import ProgressDisplay, open_display
from worker.cli.screen.results import show_result, show_summary

EVERY_S = 0.2


def follow(
    jobs: Sequence[FollowedJob],
    read: Callable[[str], JobSnapshot],
    display: ProgressDisplay,
    pause: Callable[[float], None] = time.sleep,
    timeout_s: float | None = None,
) -> dict[str, JobSnapshot]:
    """Poll until all jobs are final or the timeout is over. Returns the last snapshot of each, by job id."""
    start = time.monotonic()
    snapshots: dict[str, JobSnapshot] = {}
    try:
        while True:
            snapshots |= {job.job_id: read(job.job_id) for job in jobs if not _is_final(snapshots, job)}
            elapsed = time.monotonic() - start
            display.show([(job, snapshots[job.job_id]) for job in jobs], elapsed)
            if all(_is_final(snapshots, job) for job in jobs) or (timeout_s is not None and elapsed >= timeout_s):
                return snapshots
            pause(EVERY_S)
    finally:
        display.close()


def _is_final(snapshots: Mapping[str, JobSnapshot], job: FollowedJob) -> bool:
    return job.job_id in snapshots and snapshots[job.job_id].is_final


def follow_one(job: FollowedJob, as_json: bool, timeout_s: float | None) -> int:
    """Follow a job, show how it ended, and return the exit status: 0, 1 failed, 124 timeout, 130 Ctrl-C."""
    from worker.edge.app import app

    err = terminal.err()
    command = f"kilnhand status {job.job_id} --follow"
    display = open_display(err, as_json)
    try:
        with report_redis_errors("the job cannot be followed (it continues without this command)"):
            snapshots = follow([job], lambda job_id: read_snapshot(app, job_id), display, timeout_s=timeout_s)
    except KeyboardInterrupt:
        err.print(f"\nThe job continues. Follow it with:  {command}", soft_wrap=True)
        return INTERRUPTED
    last = snapshots[job.job_id]
    if not last.is_final:
        _show_error(job, _timeout_error(job.job_id, last, timeout_s or 0, command), as_json)
        return TIMED_OUT
    return _show_end(job, last, as_json)


def _show_end(job: FollowedJob, last: JobSnapshot, as_json: bool) -> int:
    """Print the result to stdout, or the error. Returns 0 for a result and 1 for an error."""
    if last.result is None:
        _show_error(job, last.error, as_json)
        return 1
    if as_json:
        terminal.print_json(dict(last.result))
    else:
        show_summary(terminal.err(), last.result)
        show_result(terminal.out(), last.result)
    return 0


def _timeout_error(job_id: str, last: JobSnapshot, timeout_s: float, command: str) -> dict[str, str]:
    message = f"not finished after {timeout_s:g} s (state {last.state}); the job continues. Follow it with: {command}; "
    message += f"see what it waits for: kilnhand why {job_id}"
    return {"code": "timeout", "message": message}


def _show_error(job: FollowedJob, error: Mapping[str, Any] | None, as_json: bool) -> None:
    """One JSON object on stdout, or the error's message on stderr."""
    if as_json:
        terminal.print_json({"job_id": job.job_id, "error": error})
    else:
        terminal.err().print(Text(f"{job.name}: {(error or {})['message']}", style="red"), soft_wrap=True)
