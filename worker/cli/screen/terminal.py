"""Where output goes: results to stdout, everything else to stderr. Rich shows colours on a terminal only (NO_COLOR)."""

import json
import os
from typing import Any

from rich.console import Console

WIDE = 160  # columns when the output is a pipe or a file


def out() -> Console:
    """The console for results: stdout."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress, hints and errors: stderr."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON to stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=WIDE)
    return console
