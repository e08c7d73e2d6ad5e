"""Ctrl-C, SIGTERM and a closed terminal as a wish that is seen at the next pause; a second one kills.

Nothing is interrupted half way, so no child process can be lost between its start and our knowing of it.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

SLICE_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody wants us to end."""


class Stop:
    """Remembers the wish. `kill` is called at the second one, `watch` at every pause."""

    def __init__(self, kill: Callable[[], None], watch: Callable[[], None]) -> None:
        self._kill, self._watch = kill, watch
        self._wishes = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for as long as the block lasts."""
        before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `Stopped` as soon as somebody wants us to end, and what `watch` raises."""
        end = time.monotonic() + seconds
        while True:
            if self._wishes:
                raise Stopped
            self._watch()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_S))

    def _heard(self, _number: int, _frame: object) -> None:
        self._wishes += 1
        if self._wishes > 1:
            self._kill()
