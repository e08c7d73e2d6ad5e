"""Slots for transfers, shared by tenant, host and job, so that slow transfers of one leave slots to the others.

A tenant has three eighths of the slots at most, a host three quarters, a job an eighth. A free slot goes to the caller
whose tenant and job hold the fewest. A transfer waits for a slot for some seconds; then its row is released and comes
again, since a claim that waits could serve other jobs.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.errors import ServiceUnavailableError

PATIENCE_S = 5.0
BUSY = "busy"  # the `kind` of the error of a transfer that got no slot


@dataclass(frozen=True)
class SlotUser:
    """The tenant, host and job of a transfer. Without a tenant or host it has no limit of that kind."""

    tenant: str | None = None
    host: str = ""
    job: str = ""


@dataclass(eq=False)
class _Waiting:
    user: SlotUser
    turn: asyncio.Future[None]


class SharedSlots:
    """A number of slots. For the tasks of one event loop."""

    def __init__(self, total: int, most_waiting: int = 256, patience_s: float = PATIENCE_S) -> None:
        """`most_waiting` transfers wait at a time, 8 of 256 for one tenant, 24 for one host: each holds a claim."""
        self._free, self._patience_s = total, patience_s
        self._most_waiting = {"all": most_waiting, "tenant": _share(most_waiting, 1 / 32)}
        self._most_waiting["host"] = _share(most_waiting, 3 / 32)
        self._most = {"tenant": _share(total, 3 / 8), "host": _share(total, 3 / 4), "job": _share(total, 1 / 8)}
        self._held: Counter[tuple[str, str]] = Counter()
        self._waiting: list[_Waiting] = []

    @asynccontextmanager
    async def take(self, user: SlotUser) -> AsyncIterator[None]:
        """A slot for the time of the context. Raises `ServiceUnavailableError` of kind `busy` when none comes free."""
        if self._waiting or not self._may_have(user):
            await self._wait_for(user)
        else:
            self._give(user)
        try:
            yield
        finally:
            self._free += 1
            self._held.subtract(_groups(user))
            self._next()

    async def _wait_for(self, user: SlotUser) -> None:
        if not self._may_wait(user):
            raise ServiceUnavailableError("too many transfers wait for a slot", kind=BUSY)
        waiting = _Waiting(user, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._next()
        try:
            async with asyncio.timeout(self._patience_s):
                await waiting.turn
        except (asyncio.CancelledError, TimeoutError) as left:
            self._leave(waiting)
            if isinstance(left, TimeoutError):
                raise ServiceUnavailableError("no transfer slot came free", kind=BUSY) from left
            raise

    def _leave(self, waiting: _Waiting) -> None:
        """A caller that stops waiting keeps nothing, even if it was its turn in the same moment."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif not waiting.turn.cancelled():
            self._free += 1
            self._held.subtract(_groups(waiting.user))
        self._next()

    def _next(self) -> None:
        """Give free slots to those who wait: first to the tenant and the job that hold the fewest."""
        while self._free > 0:
            fitting = [each for each in self._waiting if self._may_have(each.user) and not each.turn.done()]
            if not fitting:
                return
            first = min(fitting, key=lambda each: [self._held[group] for group in _order(each.user)])
            self._waiting.remove(first)
            self._give(first.user)
            first.turn.set_result(None)

    def _may_have(self, user: SlotUser) -> bool:
        return self._free > 0 and all(self._held[group] < self._most[group[0]] for group in _groups(user))

    def _may_wait(self, user: SlotUser) -> bool:
        tenant = sum(each.user.tenant == user.tenant for each in self._waiting) if user.tenant else 0
        host = sum(each.user.host == user.host for each in self._waiting) if user.host else 0
        waiting, most = {"all": len(self._waiting), "tenant": tenant, "host": host}, self._most_waiting
        return all(waiting[kind] < most[kind] for kind in most)

    def _give(self, user: SlotUser) -> None:
        self._free -= 1
        self._held.update(_groups(user))


def _share(total: int, part: float) -> int:
    return max(1, int(total * part))


def _groups(user: SlotUser) -> list[tuple[str, str]]:
    named = {"tenant": user.tenant, "host": user.host, "job": user.job}
    return [(kind, name) for kind, name in named.items() if name]


def _order(user: SlotUser) -> list[tuple[str, str]]:
    return [("tenant", user.tenant or ""), ("job", user.job)]


def host_of(url: str) -> str:
    """The host of a URL, by which slots are shared; empty for a data: URI and for a key of ours."""
    try:
        return (urlsplit(url).hostname or "") if url[:5].lower() != "data:" else ""
    except ValueError:
        return ""
