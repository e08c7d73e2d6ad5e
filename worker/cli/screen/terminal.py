"""Where output goes: results to stdout, everything else to stderr. Rich shows colours on a terminal only (NO_COLOR).

Control signs in any text are escaped here, whoever wrote it.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from config.control_signs import escape_control

WIDE = 160  # columns when the output is a pipe or a file


def out() -> Console:
    """The console for results: stdout."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress, hints and errors: stderr."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON to stdout."""
    print(escape_control(json.dumps(value, ensure_ascii=False, indent=2)))


class _SafeConsole(Console):
    """Escapes control signs in all text. Rich's own signs (colours, cursor) are segments of their own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments to write."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_control(segment.text))


def _console(stderr: bool) -> Console:
    console = _SafeConsole(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = _SafeConsole(stderr=stderr, highlight=False, width=WIDE)
    return console
