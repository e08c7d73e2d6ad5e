"""Where the sights of jobs are shown: a live table on a terminal, a line at every change elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.screen.results import served
from worker.cli.screen.watch import Seen, Watched

UNTAKEN_S = 5.0
UNTAKEN = "no worker has taken it yet; is one running? `kilnhand doctor` tells"
COLOURS = {"SUCCESS": "green", "FAILURE": "red", "REVOKED": "yellow", "IN_PROGRESS": "cyan", "QUEUED": "blue"}

Sights = Sequence[tuple[Watched, Seen]]


class Screen(Protocol):
    """Where the sights of jobs are shown."""

    def show(self, sights: Sights, elapsed_s: float) -> None:
        """Show what is seen now."""

    def close(self) -> None:
        """Nothing more comes."""


def open_screen(console: Console, quiet: bool = False) -> Screen:
    """Live on a terminal, lines elsewhere, nothing at all when quiet."""
    if console.is_terminal:
        return LiveScreen(console)
    return LineScreen(console) if not quiet else NoScreen()


class NoScreen:
    """Shows nothing."""

    def show(self, sights: Sights, elapsed_s: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class LiveScreen:
    """A table that is drawn over, with the log of a single job beneath."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, vertical_overflow="visible")
        self._live.start()

    def show(self, sights: Sights, elapsed_s: float) -> None:
        """Draw it anew."""
        self._live.update(self._drawn(sights, elapsed_s))

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def _drawn(self, sights: Sights, elapsed_s: float) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, expand=True)
        for column in ({}, {"width": 11}, {"width": 20}, {"width": 7, "justify": "right"}):
            table.add_column(no_wrap=True, **column)
        table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        for job, seen in sights:
            state = Text(_state(job, seen, dict(_states(sights))), style=COLOURS.get(seen.state, "dim"))
            detail = Text(_detail(job, seen, elapsed_s), style="red" if seen.state == "FAILURE" else "dim")
            table.add_row(Text(job.name, style="bold"), state, _bar(seen), _percent(seen), detail)
        if len(sights) > 1:
            return table
        lines = sights[0][1].status.get("logs") or []
        return Group(table, *(Text(f"  {line}", style="dim", no_wrap=True) for line in lines[-4:-1]))


class LineScreen:
    """A line at every change, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console, self._said = console, dict[str, tuple[object, ...]]()

    def show(self, sights: Sights, elapsed_s: float) -> None:
        """Say what is new."""
        states = dict(_states(sights))
        for job, seen in sights:
            quarter = int(_progress(seen) * 4)
            hint = UNTAKEN if _is_untaken(job, seen, elapsed_s) else ""
            news = (seen.state, quarter, seen.status.get("queue_position"), hint)
            if self._said.get(job.job_id) != news:
                self._said[job.job_id] = news
                told = [f"[{elapsed_s:5.1f} s]", f"{job.name}:", _state(job, seen, states)]
                told += [_percent(seen), _detail(job, seen, elapsed_s)]
                self._console.print(Text(" ".join(part for part in told if part)), soft_wrap=True)

    def close(self) -> None:
        """Nothing is open."""


def _states(sights: Sights) -> list[tuple[str, str]]:
    return [(job.job_id, seen.state) for job, seen in sights]


def _state(job: Watched, seen: Seen, states: Mapping[str, str]) -> str:
    if seen.state == "PENDING":
        return "waits" if job.after and states.get(job.after) not in {None, "SUCCESS"} else "sent"
    return seen.state


def _progress(seen: Seen) -> float:
    return 1.0 if seen.state == "SUCCESS" else float(seen.status.get("progress") or 0.0)


def _bar(seen: Seen) -> ProgressBar:
    failed = seen.state in {"FAILURE", "REVOKED"}
    return ProgressBar(total=1.0, completed=_progress(seen), width=20, finished_style="red" if failed else "green")


def _percent(seen: Seen) -> str:
    if seen.state == "SUCCESS":
        return f"{((seen.result or {}).get('timings') or {}).get('total_s', 0):.1f} s"
    if seen.state != "IN_PROGRESS":
        return ""
    return f"{'~' if seen.status.get('progress_estimated') else ''}{_progress(seen):.0%}"


def _detail(job: Watched, seen: Seen, elapsed_s: float) -> str:
    """The newest that is known, in one line."""
    if seen.error:
        return seen.error["code"]  # whoever follows says the message at the end, whole
    if seen.result is not None:
        return served(seen.result)
    if _is_untaken(job, seen, elapsed_s):
        return UNTAKEN
    status = seen.status
    if (ahead := status.get("queue_position")) is not None and seen.state == "QUEUED":
        return f"{ahead} ahead at {status.get('provider')}"
    logs = status.get("logs") or []
    return str(logs[-1]) if logs else str(status.get("model") or "")


def _is_untaken(job: Watched, seen: Seen, elapsed_s: float) -> bool:
    return seen.state == "PENDING" and job.after is None and elapsed_s > UNTAKEN_S
