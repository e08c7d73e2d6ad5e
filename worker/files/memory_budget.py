"""Memory that calls under way may take in one process: claims take room for them in the order in which they come.

The files of a call, its body in base64 and its answer are in memory until the pieces are stored, which takes minutes
while the store is away; the kernel's out-of-memory killer would lose what all calls under way have paid for. Whoever
takes room takes all of it at once, before anything is brought, and holds no other; from then on a room only shrinks.
So nobody who holds room waits for more, and nothing waits for ever.

Those who wait hold claims that others could have: only so many may wait, for so long; the rest is turned away and comes
again, behind those who wait by then. What wants no room never waits. How much a call takes, its provider knows.
"""

import asyncio
from collections import deque
from collections.abc import Callable

MB = 1_000_000
PATIENCE_S = 240.0  # longer than calls take (KILNHAND_GOOGLE_TIMEOUT_S, 180), so that who wants everything gets it


class Reservation:
    """Bytes that were lent. They are given back once, however often that is said."""

    def __init__(self, size_bytes: int, give: Callable[[int], None]) -> None:
        """`give` is told of every part that is given back."""
        self.bytes, self._give = size_bytes, give

    def shrink(self, to_bytes: int) -> None:
        """Keep so many bytes at the most; it never grows."""
        back = self.bytes - max(0, to_bytes)
        if back > 0:
            self.bytes -= back
            self._give(back)

    def give_back(self) -> None:
        """Keep nothing."""
        self.shrink(0)


class MemoryBudget:
    """So many bytes, lent in order. For the tasks of one event loop."""

    def __init__(self, total_bytes: int, most_waiting: int = 32, patience_s: float = PATIENCE_S) -> None:
        self.total_bytes, self._free_bytes = total_bytes, total_bytes
        self._most_waiting, self._patience_s = most_waiting, patience_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted_bytes: int) -> Reservation | None:
        """Room for so many bytes; None where too many wait already, or it would take too long.

        Who wants more than there is gets all of it, alone. The caller gives it back.
        """
        wanted = max(0, min(wanted_bytes, self.total_bytes))
        if wanted and (self._waiting or wanted > self._free_bytes):
            return await self._wait_for(wanted)
        self._free_bytes -= wanted
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
        """Whoever waits no more keeps nothing, even if it was its turn in the same moment."""
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._give(0)  # those behind it may fit
        elif not entry[1].cancelled():
            self._give(entry[0])

    def _give(self, back: int) -> None:
        self._free_bytes += back
        while self._waiting and self._waiting[0][0] <= self._free_bytes:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._free_bytes -= wanted
                turn.set_result(None)
