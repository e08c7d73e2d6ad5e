"""The log lines of several processes in one terminal, each under its coloured name."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

COLOURS = ("cyan", "magenta", "green", "yellow")


class LogLines:
    """Reads what is added to log files from now on; what they hold already is not shown."""

    def __init__(self, console: Console, logs: dict[str, Path]) -> None:
        self._console, self._logs = console, logs
        self._read = {name: path.stat().st_size for name, path in logs.items()}
        self._width = max(map(len, logs), default=0)

    def show_new(self) -> None:
        """Print every whole line that is new."""
        for number, (name, path) in enumerate(self._logs.items()):
            with path.open("rb") as log:
                log.seek(self._read[name])
                whole, newline, _ = log.read().rpartition(b"\n")
            self._read[name] += len(whole + newline)
            prefix = Text(f"{name:<{self._width}} │ ", style=COLOURS[number % len(COLOURS)])
            for line in whole.decode("utf-8", "replace").splitlines():
                self._console.print(prefix + Text(line, style="default"), soft_wrap=True)
