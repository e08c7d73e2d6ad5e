"""Displays the progress of jobs: a live table on a terminal, a line for each change elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.job_snapshot import FollowedJob, JobSnapshot
from worker.cli.screen.results import model_text, served_by
from worker.cli.screen.terminal import can_redraw

BAR_FROM = 70  # columns
NOT_TAKEN_AFTER_S = 5.0
NOT_TAKEN = "no worker has taken it yet; is one running? `kilnhand doctor` tells"
STATE_COLOURS = {"SUCCESS": "green", "FAILURE": "red", "REVOKED": "yellow", "IN_PROGRESS": "cyan", "QUEUED": "blue"}

Snapshots = Sequence[tuple[FollowedJob, JobSnapshot]]


class ProgressDisplay(Protocol):
    """Shows the newest snapshot of every followed job."""

    def show(self, snapshots: Snapshots, elapsed_s: float) -> None:
        """Show the current snapshots."""

    def close(self) -> None:
        """End the display."""


def open_display(console: Console, quiet: bool = False) -> ProgressDisplay:
    """A live table on a terminal that can redraw lines; elsewhere lines, or nothing when `quiet`."""
    if can_redraw(console):
        return LiveTable(console)
    return ChangeLines(console) if not quiet else NoDisplay()


class NoDisplay:
    """Shows nothing."""

    def show(self, snapshots: Snapshots, elapsed_s: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class LiveTable:
    """A table that is redrawn in place. A single job also gets its last log lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, vertical_overflow="visible")
        self._live.start()

    def show(self, snapshots: Snapshots, elapsed_s: float) -> None:
        """Redraw the table."""
        self._live.update(self._render(snapshots, elapsed_s))

    def close(self) -> None:
        """Stop redrawing. The last table stays on the terminal."""
        self._live.stop()

    def _render(self, snapshots: Snapshots, elapsed_s: float) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, expand=True)
        wide = self._console.width >= BAR_FROM
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, width=11)
        if wide:
            table.add_column(no_wrap=True, width=20)
        table.add_column(no_wrap=True, width=7, justify="right")
        table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        states = _states(snapshots)
        for job, snapshot in snapshots:
            state = Text(_state(job, snapshot, states), style=STATE_COLOURS.get(snapshot.state, "dim"))
            detail_style = "red" if snapshot.state == "FAILURE" else "dim"
            detail = Text(_detail(job, snapshot, elapsed_s), style=detail_style)
            bar = [_bar(snapshot)] if wide else []
            table.add_row(Text(job.name, style="bold"), state, *bar, _percent(snapshot), detail)
        if len(snapshots) > 1:
            return table
        lines = snapshots[0][1].status.get("logs") or []
        return Group(table, *(Text(f"  {line}", style="dim", no_wrap=True) for line in lines[-4:-1]))


class ChangeLines:
    """One line for each change, for log files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console, self._shown = console, dict[str, tuple[object, ...]]()

    def show(self, snapshots: Snapshots, elapsed_s: float) -> None:
        """Print a line for each job whose state, quarter of progress or queue position has changed."""
        states = _states(snapshots)
        for job, snapshot in snapshots:
            quarter = int(_progress(snapshot) * 4)
            hint = NOT_TAKEN if _is_not_taken(job, snapshot, elapsed_s) else ""
            news = (snapshot.status.get("queue_position"), snapshot.status.get("delayed_by"))
            current = (snapshot.state, quarter, *news, hint)
            if self._shown.get(job.job_id) != current:
                self._shown[job.job_id] = current
                words = [f"[{elapsed_s:5.1f} s]", f"{job.name}:", _state(job, snapshot, states)]
                words += [_percent(snapshot), _detail(job, snapshot, elapsed_s)]
                self._console.print(Text(" ".join(word for word in words if word)), soft_wrap=True)

    def close(self) -> None:
        """Do nothing: every line is already printed."""


def _states(snapshots: Snapshots) -> dict[str, str]:
    return {job.job_id: snapshot.state for job, snapshot in snapshots}


def _state(job: FollowedJob, snapshot: JobSnapshot, states: Mapping[str, str]) -> str:
    if snapshot.state == "PENDING":
        return "waits" if job.after and states.get(job.after) not in {None, "SUCCESS"} else "sent"
    return snapshot.state


def _progress(snapshot: JobSnapshot) -> float:
    return 1.0 if snapshot.state == "SUCCESS" else float(snapshot.status.get("progress") or 0.0)


def _bar(snapshot: JobSnapshot) -> ProgressBar:
    failed = snapshot.state in {"FAILURE", "REVOKED"}
    return ProgressBar(total=1.0, completed=_progress(snapshot), width=20, finished_style="red" if failed else "green")


def _percent(snapshot: JobSnapshot) -> str:
    if snapshot.state == "SUCCESS":
        return f"{((snapshot.result or {}).get('timings') or {}).get('total_s', 0):.1f} s"
    if snapshot.state != "IN_PROGRESS":
        return ""
    return f"{'~' if snapshot.status.get('progress_estimated') else ''}{_progress(snapshot):.0%}"


def _detail(job: FollowedJob, snapshot: JobSnapshot, elapsed_s: float) -> str:
    """The newest information about the job, in one line."""
    if snapshot.error:
        return snapshot.error["code"]  # the command prints the whole message at the end
    if snapshot.result is not None:
        return served_by(snapshot.result)
    if _is_not_taken(job, snapshot, elapsed_s):
        return NOT_TAKEN
    status = snapshot.status
    if delayed_by := status.get("delayed_by"):
        return str(delayed_by)
    if (ahead := status.get("queue_position")) is not None and snapshot.state == "QUEUED":
        return f"{ahead} ahead at {status.get('provider')}"
    logs = status.get("logs") or []
    return str(logs[-1]) if logs else model_text(str(status.get("model") or ""))


def _is_not_taken(job: FollowedJob, snapshot: JobSnapshot, elapsed_s: float) -> bool:
    return snapshot.state == "PENDING" and job.after is None and elapsed_s > NOT_TAKEN_AFTER_S
