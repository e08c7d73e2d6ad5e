"""The log lines of several processes in one terminal, each line with its process's name in colour."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow")


class LogLines:
    """Prints what is appended to log files from now on. Lines that are already there are not printed."""

    def __init__(self, console: Console, logs: dict[str, Path]) -> None:
        self._console, self._logs = console, logs
        self._offsets = {name: path.stat().st_size for name, path in logs.items()}
        self._width = max(map(len, logs), default=0)

    def show_new(self) -> None:
        """Print every new complete line."""
        for number, (name, path) in enumerate(self._logs.items()):
            with path.open("rb") as log:
                log.seek(self._offsets[name])
                complete, newline, _ = log.read().rpartition(b"\n")
            self._offsets[name] += len(complete + newline)
            prefix = Text(f"{name:<{self._width}} │ ", style=COLOURS[number % len(COLOURS)])
            for line in complete.decode("utf-8", "replace").splitlines():
                self._console.print(prefix + Text(line, style="default"), soft_wrap=True)
