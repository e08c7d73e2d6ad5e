"""Celery's queues in a world: lists in Redis, with messages lost, doubled, late and out of order.

A worker takes a message off its list and notes it as unacknowledged in a second command, so a message is lost when the
worker dies in between. What a worker has not acknowledged within the visibility timeout is put back.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.decisions import Fault
from tests.simulation.redis_server import RedisServer
from tests.simulation.virtual_loop import Process
from worker.edge.message import ACCEPTED_AT_HEADER, SENT_AT_HEADER

VISIBILITY_S = 60.0
RESTORE_S = 10.0
JUST_S = 2.0  # between a worker's look into the queues and the message that it sends
TAKEN_S = 8.0  # a worker that has a message for longer is taken for dead
LOST = Fault("message lost")
DOUBLED = Fault("message doubled")
LATE = Fault("message late", 1.0, 30.0)
FIRST = Fault("message comes first")
PUBLISH_FAULTS = (LOST, DOUBLED, LATE, FIRST)


@dataclass
class Message:
    """A message as it is on the wire."""

    id: str
    task: str
    headers: Mapping[str, Any]
    body: str
    queue: str
    number: int = 0
    at: float = 0.0  # when it was put on its queue
    taken_at: float = 0.0  # when a worker noted it as unacknowledged
    redelivered: bool = False

    @property
    def is_closing(self) -> bool:
        """Whether it is the second message of a job."""
        return ACCEPTED_AT_HEADER in self.headers

    @property
    def name(self) -> str:
        """For a schedule."""
        return f"{'closing message' if self.is_closing else 'message'} of {self.id}"


@dataclass
class _Taker:
    process: Process
    queues: Sequence[str]
    came: "asyncio.Future[Message]"


@dataclass
class Broker:
    """Queues, and what is unacknowledged."""

    server: RedisServer
    queues: dict[str, deque[Message]] = field(default_factory=dict)
    unacked: dict[int, Message] = field(default_factory=dict)
    takers: list[_Taker] = field(default_factory=list)
    numbers: int = 0
    published: int = 0

    def publish(self, message: Message) -> None:
        """Put a message on its queue; a fault changes when, where, and how often."""
        self.published += 1
        fault, seconds = self.server.decisions.fault(message.name, PUBLISH_FAULTS, boost=3.0)
        if fault == LOST.name:
            return
        if fault == LATE.name:
            self.server.loop.outside_later(seconds, self._put, message)
            return
        self._put(message, is_first=fault == FIRST.name)
        if fault == DOUBLED.name:
            self._put(message)

    def _put(self, message: Message, is_first: bool = False) -> None:
        self.numbers += 1
        queue = self.queues.setdefault(message.queue, deque())
        copy = replace(message, number=self.numbers, at=self.server.loop.time())
        queue.append(copy) if is_first else queue.appendleft(copy)
        self._deliver()

    def has(self, job_id: str) -> bool:
        """Whether a message of this id is in a queue, or unacknowledged."""
        there = [*self.unacked.values(), *(message for queue in self.queues.values() for message in queue)]
        return any(message.id == job_id for message in there)

    def waits_s(self, job_id: str, *, closing: bool) -> float:
        """How long a message of this id has been in a queue, or in a worker's hands just now; 0 when there is none.

        One that was published long after its time of sending does not count: its caller was frozen in between, and a
        worker that looks for it by that time does not see it (`worker.edge.queued`).
        """
        now = self.server.loop.time()
        taken = [message for message in self.unacked.values() if JUST_S < now - message.taken_at < TAKEN_S]
        there = [*taken, *(message for queue in self.queues.values() for message in queue)]
        mine = [message for message in there if message.id == job_id and message.is_closing == closing]
        same = (message.at for message in mine if message.redelivered or message.at - _sent_at(message) < JUST_S)
        return now - min(same, default=now)

    async def take(self, process: Process, queues: Sequence[str]) -> Message:
        """The next message of these queues, noted as unacknowledged."""
        came: asyncio.Future[Message] = self.server.loop.create_future()
        taker = _Taker(process, queues, came)
        self.takers.append(taker)
        self.server.loop.outside(self._deliver)
        try:
            message = await came
        finally:
            if taker in self.takers:
                self.takers.remove(taker)
        await self.command(process, "broker note", lambda: self._note(message))
        return message

    def _note(self, message: Message) -> None:
        message.taken_at = self.server.loop.time()
        self.unacked[message.number] = message
        later = VISIBILITY_S + RESTORE_S * self.server.decisions.chance("broker restore")
        self.server.loop.outside_later(later, self._restore, message)

    def _restore(self, message: Message) -> None:
        """Put a message back whose visibility timeout is over."""
        if self.unacked.pop(message.number, None):
            message.redelivered, message.at = True, self.server.loop.time()
            self.queues[message.queue].append(message)
            self._deliver()

    def put_back(self, message: Message) -> None:
        """Return a message to its queue, as a worker does that rejects it or stops."""
        self._restore(message)

    def ack(self, message: Message) -> None:
        """The message is done."""
        self.unacked.pop(message.number, None)

    def gone(self, process: Process) -> None:
        """A process is dead: its connections are closed."""
        self.takers = [taker for taker in self.takers if taker.process is not process]

    async def command(self, process: Process, name: str, work: Any) -> Any:
        """A command to the broker's Redis."""
        return await self.server.command(process, name, work, is_ledger=False, retries=1, timeout_s=30.0)

    def _deliver(self) -> None:
        """Give waiting messages to who has waited longest, as BRPOP does."""
        if self.server.frozen_until > self.server.loop.time():
            self.server.loop.outside_later(self.server.frozen_until - self.server.loop.time() + 0.001, self._deliver)
            return
        for taker in list(self.takers):
            for name in taker.queues:
                if self.queues.get(name) and not taker.came.done():
                    taker.came.set_result(self.queues[name].pop())
                    self.takers.remove(taker)
                    break


def _sent_at(message: Message) -> float:
    return float(message.headers.get(SENT_AT_HEADER) or message.at)
