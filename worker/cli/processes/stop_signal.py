"""Ctrl-C, SIGTERM and SIGHUP (a closed terminal): the first stops `kilnhand up` at its next pause, the second kills.

A signal never interrupts a step. So no child process is lost between its start and the moment we store its pid.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

SLICE_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """A signal asked this process to stop."""


class StopSignal:
    """Remembers that a signal came. The second signal calls `kill`; every pause calls `check`."""

    def __init__(self, kill: Callable[[], None], check: Callable[[], None]) -> None:
        self._kill, self._check = kill, check
        self._count = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside this block; restore the old handlers after it."""
        before = {number: signal.signal(number, self._received) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `StopRequested` at most 0.1 s after a signal, and whatever `check` raises."""
        end = time.monotonic() + seconds
        while True:
            if self._count:
                raise StopRequested
            self._check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_S))

    def _received(self, _number: int, _frame: object) -> None:
        self._count += 1
        if self._count > 1:
            self._kill()
