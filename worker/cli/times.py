"""Times of the command line: a date, a moment, or how long ago."""

import re
from datetime import UTC, datetime

from worker.cli.errors import CliError

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_time(option: str, text: str, now: float) -> float:
    """Seconds since the epoch. Without a zone it is UTC. Raises a `CliError` that names the option."""
    if match := _AGO.fullmatch(text.strip()):
        return now - float(match[1]) * _SECONDS[match[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        allowed = "a date (2026-11-28), a moment (2026-11-28T09:30), or how long ago (30m, 24h, 7d)"
        raise CliError(f"{option} {text!r}: allowed are {allowed}", status=2) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
