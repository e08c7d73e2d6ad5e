"""Says what an unexpected error was, so that `kilnhand why` shows it: class, message, and where in our code."""

import traceback
from types import TracebackType

from config.control_signs import escape_line
from config.logging import mask_text

MOST_CHARS = 300  # of the message: it is written on the row, and the caller gets it
OURS = ("worker.", "tasks.", "config.")


def defect_text(error: BaseException) -> str:
    """For example `KeyError: 'url' (worker.providers.fal.provider, line 80, in fetch)`. Without secrets and paths."""
    message = escape_line(mask_text(str(error)))
    if len(message) > MOST_CHARS:
        message = f"{message[: MOST_CHARS - 1]}…"
    named = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{named}{_place(error.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    """The innermost place in our own code; in a library's code if no frame is ours."""
    places = [
        (str(frame.f_globals.get("__name__", "?")), line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(trace)
    ]
    ours = [place for place in places if place[0].startswith(OURS)]
    if not places:
        return ""
    module, line, function = (ours or places)[-1]
    return f" ({module}, line {line}, in {function})"
