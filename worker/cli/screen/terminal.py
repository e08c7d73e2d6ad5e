"""Where words go: results to stdout, everything else to stderr. Colours on a terminal only; NO_COLOR is rich's."""

import os

from rich.console import Console

WIDE = 160  # columns where nobody looks: a pipe, a file


def out() -> Console:
    """Results."""
    return _console(stderr=False)


def err() -> Console:
    """Progress, hints, complaints."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=WIDE)
    return console
