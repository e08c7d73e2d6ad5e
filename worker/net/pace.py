"""The slowest transfer that is waited for: a least throughput, as curl's `--speed-limit`, and a total time by size.

A read timeout alone starts again with every byte: a server that sends a byte every two seconds would hold a slot for as
long as it likes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


class TooSlowError(TimeoutError):
    """A transfer brought too few bytes within a window."""


@dataclass(frozen=True)
class Pace:
    """At least `least_bytes_per_s` in every window of `window_s` seconds; `start_s` to connect and to begin."""

    least_bytes_per_s: float = 10_000
    window_s: float = 10.0
    start_s: float = 20.0

    def total_s(self, size_bytes: int) -> float:
        """The most seconds for a transfer of this size."""
        return self.start_s + size_bytes / self.least_bytes_per_s


PACE = Pace()


@asynccontextmanager
async def least_throughput(pace: Pace) -> AsyncIterator[Callable[[int], None]]:
    """Count the bytes of a transfer with the returned function. Raises `TooSlowError` after a window with too few."""
    loop, wanted = asyncio.get_running_loop(), pace.least_bytes_per_s * pace.window_s
    came = 0
    timeout = asyncio.timeout(pace.window_s)

    def count(size_bytes: int) -> None:
        nonlocal came
        came += size_bytes
        if came >= wanted:
            came = 0
            timeout.reschedule(loop.time() + pace.window_s)

    try:
        async with timeout:
            yield count
    except TimeoutError as error:
        if timeout.expired():
            slowest = f"{pace.least_bytes_per_s / 1000:g} kB/s"
            raise TooSlowError(f"slower than {slowest} for {pace.window_s:g} s") from error
        raise
