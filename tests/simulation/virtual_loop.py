"""An event loop whose clock jumps to the next timer, and the processes that share it.

looptime 0.7 patches the clock of a real loop. It does not hold back one process while others run, so this is a loop of
its own: a process is a context variable, and the loop drops the callbacks of a dead process and holds those of a frozen
one.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextvars import ContextVar, copy_context
from typing import Any

from tests.simulation.fibers import Fiber, FiberStoppedError

START_S = 1_700_000_000.0  # of the virtual clock, seconds since the epoch


class CrashedError(FiberStoppedError):
    """The process is dead: its code must not go on."""


class StalledError(RuntimeError):
    """Nothing is ready, and no timer runs."""


PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process:
    """A process of the world. Its code runs in contexts in which `PROCESS` is this object."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.loop, self.name = loop, name
        self.is_dead = False
        self.frozen_until = 0.0
        self.held: deque[asyncio.Handle] = deque()
        self.fibers: list[Fiber] = []
        self.on_crash: Callable[[], None] = lambda: None
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def start(self, work: Any) -> "asyncio.Task[Any]":
        """Run a coroutine in this process."""
        return self.loop.create_task(work, context=self.context.copy())

    def call(self, work: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Run blocking code in this process."""
        return self.context.copy().run(self.loop.run_in_executor, None, work, *args)  # type: ignore[arg-type]

    def crash(self) -> None:
        """End the process, as `kill -9` does. The caller raises `CrashedError` when it runs in this process."""
        if not self.is_dead:
            self.is_dead = True
            self.held.clear()
            self.loop.outside(self._unwind)
            self.on_crash()

    def _unwind(self) -> None:
        for fiber in list(self.fibers):
            fiber.stop(CrashedError())

    def freeze(self, seconds: float) -> None:
        """Stop the process for so long, as SIGSTOP does."""
        self.frozen_until = max(self.frozen_until, self.loop.time() + seconds)
        self.loop.outside_later(seconds, self._thaw)

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped now."""
        return self.loop.time() < self.frozen_until

    def _thaw(self) -> None:
        if not self.is_frozen:
            self.loop.run_next(self.held)
            self.held = deque()

    def check(self) -> None:
        """Raise `CrashedError` if the process is dead."""
        if self.is_dead:
            raise CrashedError


def current_process() -> Process | None:
    """The process whose code is running; None for what is outside of all of them."""
    return PROCESS.get()


class VirtualLoop(asyncio.BaseEventLoop):
    """Never sleeps: when nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START_S
        self._outside = copy_context()
        self._outside.run(PROCESS.set, None)
        self.set_exception_handler(lambda *_: None)  # a crashed process leaves tasks with errors behind
        self.turns = 0
        self.tasks: list[asyncio.Task[Any]] = []  # else one of a dead process would be closed at any time, and act
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds since the epoch, virtual."""
        return self._now

    def _make_task(self, loop: Any, work: Any, **named: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **named)
        self.tasks.append(task)
        return task

    def outside(self, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """`call_soon` outside of all processes."""
        return self.call_soon(callback, *args, context=self._outside)

    def outside_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """`call_later` outside of all processes."""
        return self.call_later(seconds, callback, *args, context=self._outside)

    def run_next(self, handles: "deque[asyncio.Handle]") -> None:
        """Run these callbacks in the next turn."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """The same as `call_soon`: only one thread runs at a time."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Run blocking code in a fiber of the current process."""
        process, done = current_process(), self.create_future()
        fibers = process.fibers if process else []
        fiber = Fiber(self, func, args, done, fibers, CrashedError)
        self.call_soon(fiber.start)
        return done

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not ready:
            if not timers:
                raise StalledError
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._run_handle(handle)

    def _run_handle(self, handle: Any) -> None:
        self.turns += 1
        process = handle._context.get(PROCESS)
        if process is not None:
            if process.is_dead:
                return
            if process.frozen_until > self._now:
                process.held.append(handle)
                return
        handle._run()

    def _process_events(self, event_list: Any) -> None: ...

    def _write_to_self(self) -> None: ...


def run_threadsafe(loop: VirtualLoop, work: Any, result: "ThreadFuture[Any]") -> "ThreadFuture[Any]":
    """`asyncio.run_coroutine_threadsafe`, for code that shares the loop's thread."""
    task = loop.create_task(work)

    def copy(done: "asyncio.Task[Any]") -> None:
        if done.cancelled():
            result.cancel()
        elif error := done.exception():
            result.set_exception(error)
        else:
            result.set_result(done.result())

    task.add_done_callback(copy)
    return result
