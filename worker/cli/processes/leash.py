"""A tiny process that ends the others when their parent is gone, however it went (kill -9, closed terminal).

It is told of process groups on stdin, `+pid` and `-pid` a line; the end of stdin means that the parent has died or has
no more use for it. `house` runs it as a file. It needs the standard library alone, so it starts at once.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0


def hold(lines: Iterable[str]) -> list[int]:
    """The process groups that are left when the lines end, the newest first."""
    held: dict[int, None] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            held[pid] = None
        else:
            held.pop(pid, None)
    return list(held)[::-1]


def end(groups: list[int]) -> None:
    """SIGTERM to each, SIGKILL to those that are there after the grace."""
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
    for deaf in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(deaf, signal.SIG_IGN)
    end(hold(sys.stdin))
