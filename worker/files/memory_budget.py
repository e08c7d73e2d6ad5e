"""The memory that the calls of one process may take: claims reserve it in the order in which they ask.

The files of a call, its body in base64 and its answer are in memory until the pieces are stored, which takes minutes
while the store is away. If the kernel's out-of-memory killer ended the process, all paid calls in it would be lost. A
claim reserves all that its call needs at once, before any file is brought, and holds one reservation at most. A
reservation only shrinks. So no holder waits for more, and nothing waits for ever.

A claim that waits could serve other jobs. So a limited number waits, for a limited time; the others are refused and ask
again later. A call that needs no memory never waits. The provider says how much a call needs.
"""

import asyncio
from collections import deque
from collections.abc import Callable

MB = 1_000_000
PATIENCE_S = (
    240.0  # longer than a call takes (KILNHAND_GOOGLE_TIMEOUT_S, 180), so that even a call that needs all of it gets it
)


class Reservation:
    """Reserved bytes. Giving them back twice has no effect."""

    def __init__(self, size_bytes: int, give: Callable[[int], None]) -> None:
        """`give` is called with every number of bytes that is given back."""
        self.bytes, self._give = size_bytes, give

    def shrink(self, to_bytes: int) -> None:
        """Keep this many bytes at most; a reservation never grows."""
        back = self.bytes - max(0, to_bytes)
        if back > 0:
            self.bytes -= back
            self._give(back)

    def give_back(self) -> None:
        """Give all bytes back."""
        self.shrink(0)


class MemoryBudget:
    """A number of bytes, reserved in order. For the tasks of one event loop."""

    def __init__(self, total_bytes: int, most_waiting: int = 32, patience_s: float = PATIENCE_S) -> None:
        self.total_bytes, self.free_bytes = total_bytes, total_bytes
        self._most_waiting, self._patience_s = most_waiting, patience_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted_bytes: int) -> Reservation | None:
        """A reservation of this many bytes; None when too many wait already, or after `patience_s`.

        A call that wants more than the whole budget gets all of it, alone. The caller gives it back.
        """
        wanted = max(0, min(wanted_bytes, self.total_bytes))
        if wanted and (self._waiting or wanted > self.free_bytes):
            return await self._wait_for(wanted)
        self.free_bytes -= wanted
        return Reservation(wanted, self._give)

    async def _wait_for(self, wanted: int) -> Reservation | None:
        if len(self._waiting) >= self._most_waiting:
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wanted, turn)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except (asyncio.CancelledError, TimeoutError) as left:
            self._leave(entry)
            if isinstance(left, TimeoutError):
                return None
            raise
        return Reservation(wanted, self._give)

    def _leave(self, entry: tuple[int, asyncio.Future[None]]) -> None:
        """A claim that stops waiting keeps nothing, even if it was its turn in the same moment."""
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._give(0)  # the next in the queue may fit now
        elif not entry[1].cancelled():
            self._give(entry[0])

    def _give(self, back: int) -> None:
        self.free_bytes += back
        while self._waiting and self._waiting[0][0] <= self.free_bytes:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.free_bytes -= wanted
                turn.set_result(None)
