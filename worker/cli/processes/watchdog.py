"""A small process that ends a stack's processes when their parent is gone, even after kill -9 or a closed terminal.

It reads process groups from stdin, one `+pid` or `-pid` a line. The end of stdin means that the parent has died or has
closed the stack. `stack` runs this file as a script. It uses only the standard library, so it starts at once.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0  # from SIGTERM to SIGKILL


def remaining_groups(lines: Iterable[str]) -> list[int]:
    """The process groups that were added and not removed, newest first. Returns when the lines end."""
    groups: dict[int, None] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            groups[pid] = None
        else:
            groups.pop(pid, None)
    return list(groups)[::-1]


def end_groups(groups: list[int]) -> None:
    """Send SIGTERM to each group, and SIGKILL to those that are still alive after the grace period."""
    for group in groups:
        _send(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(_send(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    with contextlib.suppress(OSError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_groups(remaining_groups(sys.stdin))
