"""Where output goes: results to stdout, everything else to stderr. Rich shows colours on a terminal only (NO_COLOR).

Control signs in any text are escaped here, whoever wrote it.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from config.control_signs import escape_control
from worker.cli.exit_codes import CLOSED_PIPE
from worker.cli.screen.closed_pipe import close_stdout
from worker.cli.screen.word_wrap import wrap_words

UNLIMITED = 100_000  # columns of a pipe or a file: nothing is wrapped or cut there


def out() -> Console:
    """The console for results: stdout."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress, hints and errors: stderr."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON to stdout. It is JSON in every encoding."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(escape_control(text))


def can_redraw(console: Console) -> bool:
    """Whether lines can be drawn again in place. TERM=dumb cannot."""
    return console.is_terminal and not console.is_dumb_terminal


class _SafeConsole(Console):
    """Escapes control signs in all text, and wraps text between words. Rich's own signs are segments of their own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments to write."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_control(segment.text))

    def print(self, *objects: Any, **options: Any) -> None:
        """Print. A single text is wrapped between words on a terminal, unless `soft_wrap` is given."""
        if len(objects) == 1 and isinstance(objects[0], str | Text) and "soft_wrap" not in options:
            text = objects[0] if isinstance(objects[0], Text) else Text(objects[0])
            return super().print(wrap_words(text, self.width), soft_wrap=True, **options)
        return super().print(*objects, **options)

    def on_broken_pipe(self) -> NoReturn:
        """The reader has gone, for example `head`: end without a message."""
        close_stdout()
        raise SystemExit(CLOSED_PIPE)


def _console(stderr: bool) -> Console:
    console = _SafeConsole(stderr=stderr, highlight=False)
    return console if console.is_terminal else _SafeConsole(stderr=stderr, highlight=False, width=UNLIMITED)
