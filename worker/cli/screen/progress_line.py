"""One line that shows what a command is reading, on a terminal only."""

from types import TracebackType

from rich.status import Status

from worker.cli.screen import terminal


class ProgressLine:
    """A context manager. Without a terminal it shows nothing."""

    def __init__(self) -> None:
        console = terminal.err()
        self._status = Status("", console=console) if terminal.can_redraw(console) else None

    def __enter__(self) -> "ProgressLine":
        """Begin."""
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the line."""
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """Replace the line."""
        if self._status:
            self._status.update(text)
