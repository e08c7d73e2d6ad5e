"""Memory that answers under way may take in one process: calls wait for room in the order in which they came.

A picture comes inside JSON; reading it takes about three times its size for a moment (measured: 53 MB for one of 20).
One loop's calls share one budget; the kernel's out-of-memory killer would lose what all of them have paid for.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from worker.providers.base import Media

MB = 1_000_000
_ANSWER_MB = {"512": 6, "1K": 16, "2K": 48, "4K": 100}  # three times a large PNG of the size
VIDEO_MB = 64
WORDS_MB = 1
_COPIES_OF_INPUT = 3  # the request in base64, and once more on its way (measured: 74 MB for 28)


class MemoryBudget:
    """So many bytes, lent in order. For the tasks of one event loop."""

    def __init__(self, total_bytes: int) -> None:
        self._total = self._free = total_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, wanted_bytes: int) -> AsyncIterator[None]:
        """Room for so many bytes while the block runs; who wants more than there is gets all of it, alone."""
        wanted = min(wanted_bytes, self._total)
        await self._take(wanted)
        try:
            yield
        finally:
            self._give(wanted)

    async def _take(self, wanted: int) -> None:
        if not self._waiting and wanted <= self._free:
            self._free -= wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wanted, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(wanted)  # it was this one's turn in the same moment
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._give(0)  # those behind it may fit
            raise

    def _give(self, back: int) -> None:
        self._free += back
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= wanted
                turn.set_result(None)


def picture_bytes(resolution: str | None, files: Sequence[Media]) -> int:
    """What a picture call may take for a moment, at the most. An unset resolution is 1K."""
    return _ANSWER_MB.get(resolution or "1K", _ANSWER_MB["4K"]) * MB + input_bytes(files)


def input_bytes(files: Sequence[Media]) -> int:
    """What sending these files takes."""
    return _COPIES_OF_INPUT * sum(len(file.data) for file in files)
