"""The memory that the calls of one process may take: claims reserve it in the order in which they ask.

The files of a call, its body in base64 and its answer are in memory until the pieces are stored, which takes minutes
while the store is away. If the kernel's out-of-memory killer ended the process, all paid calls in it would be lost. A
claim reserves all that its call needs at once, before any file is brought, and holds one reservation at most. A
reservation only shrinks. So no holder waits for more, and nothing waits for ever.

A claim that waits could serve other jobs. So a limited number waits, for a limited time; the others are refused and ask
again later. A call that needs no memory never waits. The provider says how much a call needs.

A tenant has three quarters of the memory at most, and a quarter of those who wait, so that the calls of one tenant do
not keep those of the others waiting.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(eq=False)
class _Waiting:
    wanted_bytes: int
    tenant: str | None
    turn: asyncio.Future[None]


class MemoryBudget:
    """A number of bytes, reserved in order. For the tasks of one event loop."""

    def __init__(self, total_bytes: int, most_waiting: int = 32, patience_s: float = PATIENCE_S) -> None:
        self.total_bytes, self.free_bytes = total_bytes, total_bytes
        self._most_waiting, self._patience_s = most_waiting, patience_s
        self._waiting: list[_Waiting] = []
        self._held = Counter[str]()  # bytes by tenant

    async def take(self, wanted_bytes: int, tenant: str | None = None) -> Reservation | None:
        """A reservation of this many bytes; None when too many wait already, or after `patience_s`.

        A call that wants more than the whole budget gets all of it, alone. The caller gives it back.
        """
        wanted = max(0, min(wanted_bytes, self.total_bytes))
        if wanted and (self._waiting or wanted > self.free_bytes or not self._has_share(wanted, tenant)):
            return await self._wait_for(wanted, tenant)
        return self._reserve(wanted, tenant)

    def _reserve(self, wanted: int, tenant: str | None) -> Reservation:
        self.free_bytes -= wanted
        if tenant:
            self._held[tenant] += wanted
        return self._reservation(wanted, tenant)

    def _reservation(self, size: int, tenant: str | None) -> Reservation:
        return Reservation(size, lambda back: self._give(back, tenant))

    def _has_share(self, wanted: int, tenant: str | None) -> bool:
        """Whether the tenant may have so much more: three quarters together, or one call alone."""
        held = self._held[tenant] if tenant else 0
        return not held or 4 * (held + wanted) <= 3 * self.total_bytes

    async def _wait_for(self, wanted: int, tenant: str | None) -> Reservation | None:
        same = sum(each.tenant == tenant for each in self._waiting) if tenant else 0
        if len(self._waiting) >= self._most_waiting or same >= max(1, self._most_waiting // 4):
            return None
        waiting = _Waiting(wanted, tenant, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._next()
        try:
            async with asyncio.timeout(self._patience_s):
                await waiting.turn
        except (asyncio.CancelledError, TimeoutError) as left:
            self._leave(waiting)
            if isinstance(left, TimeoutError):
                return None
            raise
        return self._reservation(wanted, tenant)

    def _leave(self, waiting: _Waiting) -> None:
        """A claim that stops waiting keeps nothing, even if it was its turn in the same moment."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            self._next()  # the next in the queue may fit now
        elif not waiting.turn.cancelled():
            self._give(waiting.wanted_bytes, waiting.tenant)

    def _give(self, back: int, tenant: str | None) -> None:
        self.free_bytes += back
        if tenant:
            self._held[tenant] -= back
            if not self._held[tenant]:
                del self._held[tenant]
        self._next()

    def _next(self) -> None:
        """Serve those who wait, in order, as far as memory goes. A tenant that has its share is passed over."""
        for waiting in list(self._waiting):
            if not self._has_share(waiting.wanted_bytes, waiting.tenant):
                continue
            if waiting.wanted_bytes > self.free_bytes:
                return
            self._waiting.remove(waiting)
            if not waiting.turn.done():
                self._reserve(waiting.wanted_bytes, waiting.tenant)
                waiting.turn.set_result(None)
