"""The one Redis of a world: ledger, broker and results. It can freeze, refuse connections, and lose answers.

A frozen Redis reads what its clients have sent meanwhile when it goes on, in the order in which it came, although some
of them have given up: a call that timed out takes effect all the same. The clients repeat a call as redis-py does
(`worker.ledger.redis`, `worker.ledger.producer`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.simulation.decisions import CRASH, CRASH_AFTER, FREEZE, LOST, REDIS_FREEZE, REFUSED, Decisions
from tests.simulation.virtual_loop import CrashedError, Process, VirtualLoop

LEDGER_FAULTS = (CRASH, CRASH_AFTER, FREEZE, LOST, REDIS_FREEZE, REFUSED)
OTHER_FAULTS = (CRASH, CRASH_AFTER, FREEZE, REDIS_FREEZE)
TIMEOUT_S = 10.0  # of a socket, in the ledger's clients


class RedisServer:
    """Executes commands one after another."""

    def __init__(self, loop: VirtualLoop, decisions: Decisions) -> None:
        self.loop, self.decisions = loop, decisions
        self.frozen_until = self.refuses_until = self.thawed_at = 0.0
        self._backlog: list[Callable[[], None]] = []
        self.after: Callable[[], None] = lambda: None  # called after every command

    async def command(
        self,
        process: Process,
        name: str,
        work: Callable[[], Any],
        *,
        is_ledger: bool = True,
        retries: int = 3,
        timeout_s: float = TIMEOUT_S,
        boost: float = 1.0,
    ) -> Any:
        """The answer to a command; a lost one is repeated. Raises redis-py's errors, and those of the command."""
        process.check()
        label = f"{process.name} {name}"
        for attempt in range(retries + 1):
            fault, seconds = self.decisions.fault(label, LEDGER_FAULTS if is_ledger else OTHER_FAULTS, boost)
            if fault:
                await self._before(process, fault, seconds)
            if is_ledger and self.refuses_until > self.loop.time():
                error: Exception = RedisConnectionError("max number of clients reached")
            else:
                try:
                    answer = await self._send(label, work, timeout_s)
                except RedisTimeoutError as caught:
                    error = caught
                else:
                    if fault == CRASH_AFTER.name:
                        process.crash()
                        raise CrashedError
                    if fault != LOST.name:
                        return answer
                    error = RedisConnectionError("the connection was reset")
            if attempt < retries:
                await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        raise error

    async def _before(self, process: Process, fault: str, seconds: float) -> None:
        if fault == CRASH.name:
            process.crash()
            raise CrashedError
        if fault == FREEZE.name:
            process.freeze(seconds)
            await asyncio.sleep(0)
        elif fault == REDIS_FREEZE.name:
            self.freeze(seconds)
        elif fault == REFUSED.name:
            self.refuses_until = max(self.refuses_until, self.loop.time() + seconds)

    @property
    def is_busy(self) -> bool:
        """Whether commands wait for it to go on."""
        return bool(self._backlog) or self.frozen_until > self.loop.time()

    @property
    def back_at(self) -> float:
        """When it was last frozen or refused connections, or does so until."""
        return max(self.thawed_at, self.refuses_until)

    def freeze(self, seconds: float) -> None:
        """Answer nothing for so long."""
        self.frozen_until = max(self.frozen_until, self.loop.time() + seconds)
        self.loop.outside_later(seconds, self._thaw)

    def _thaw(self) -> None:
        if self.frozen_until <= self.loop.time():
            self.thawed_at = self.loop.time()
            backlog, self._backlog = self._backlog, []
            for run in backlog:
                run()

    def _send(self, label: str, work: Callable[[], Any], timeout_s: float) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self.loop.create_future()
        timeout = self.loop.call_later(timeout_s, _give_up, answer)
        answer.add_done_callback(lambda _: timeout.cancel())

        def arrive() -> None:
            if self.frozen_until > self.loop.time():
                self._backlog.append(run)
            else:
                run()

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  # of the command, for its caller
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)
            self.after()

        self.loop.outside_later(0.0002 + 0.002 * self.decisions.chance(label), arrive)
        return answer


def _give_up(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(RedisTimeoutError("Timeout reading from Redis"))


def result_of(work: Any) -> Any:
    """The result of a coroutine that does not wait, as those of the ledger in memory."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the ledger in memory must not wait")
