"""The broker's Redis as `worker.edge.queued` looks into it: kombu's lists, and what is unacknowledged."""

import json
from typing import Any

from tests.simulation.broker import Message
from tests.simulation.stand_ins import world
from tests.simulation.virtual_loop import current_process


class BrokerClient:
    """redis-py's client. The right end of a list is taken next."""

    async def _ask(self, work: Any) -> Any:
        process = current_process()
        assert process
        return await world().broker.command(process, "broker look", work)

    async def lrange(self, name: str, first: int, last: int) -> list[bytes]:
        """The last messages of a list."""
        found: list[bytes] = await self._ask(
            lambda: [_raw(each) for each in world().broker.queues.get(name, ())][first:]
        )
        return found

    async def hlen(self, name: str) -> int:
        """How many messages are unacknowledged."""
        return int(await self._ask(lambda: len(world().broker.unacked)))

    async def hgetall(self, name: str) -> dict[bytes, bytes]:
        """Those messages."""
        found: dict[bytes, bytes] = await self._ask(
            lambda: {str(tag).encode(): _raw(each) for tag, each in world().broker.unacked.items()}
        )
        return found

    async def zscore(self, name: str, tag: bytes) -> float | None:
        """When one of them was taken."""
        message = await self._ask(lambda: world().broker.unacked.get(int(tag)))
        return None if message is None else float(message.taken_at)

    async def time(self) -> tuple[int, int]:
        """Redis's clock."""
        now = await self._ask(lambda: world().loop.time())
        return int(now), int(now % 1 * 1e6)

    async def aclose(self, **_: Any) -> None:
        """Do nothing."""


def _raw(message: Message) -> bytes:
    return json.dumps({"headers": message.headers, "body": message.body}, default=str).encode()
