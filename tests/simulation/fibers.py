"""Blocking code on the virtual loop: Celery and the backends call Redis and wait for the answer.

A fiber is a thread that runs only while the loop waits for it, so that one thread runs at a time, in an order that the
seed decides. Threads are used again, since starting one costs more than a switch.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any

_local = threading.local()


class FiberStoppedError(BaseException):
    """The fiber must end: its process is dead, or its world is over."""


class _Thread:
    """A thread that runs one fiber after another."""

    idle: "list[_Thread]" = []  # noqa: RUF012  # shared by all worlds of this process

    def __init__(self) -> None:
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.work: Callable[[], None] = lambda: None
        threading.Thread(target=self._loop, daemon=True, name="fiber").start()

    def _loop(self) -> None:
        while True:
            self.go.acquire()
            self.work()
            self.back.release()

    def run(self) -> None:
        """Run until the fiber waits or ends."""
        self.go.release()
        self.back.acquire()

    def pause(self) -> None:
        """Called in the thread: let the loop go on until `run`."""
        self.back.release()
        self.go.acquire()


class Fiber:
    """One call of blocking code. Its result becomes the result of `done`."""

    def __init__(
        self,
        loop: Any,
        func: Callable[..., Any],
        args: Sequence[Any],
        done: "asyncio.Future[Any]",
        siblings: "list[Fiber]",
        dead: type[BaseException],
    ) -> None:
        self.loop, self._func, self._args, self._done, self._siblings = loop, func, args, done, siblings
        self._thread: _Thread | None = None
        self._stop: BaseException | None = None
        self._dead = dead

    def start(self) -> None:
        """Begin, in the context of the caller."""
        context = contextvars.copy_context()
        thread = self._thread = _Thread.idle.pop() if _Thread.idle else _Thread()
        thread.work = lambda: context.run(self._run)
        self._siblings.append(self)
        self._enter()

    def _enter(self) -> None:
        thread = self._thread
        assert thread
        thread.run()
        if self._thread is None:
            _Thread.idle.append(thread)

    def _run(self) -> None:
        _local.fiber = self
        try:
            result = self._func(*self._args)
        except FiberStoppedError:
            self._done.cancel()
        except BaseException as error:  # noqa: BLE001  # of the code, for who waits for it
            if not self._done.done():
                self._done.set_exception(error)
        else:
            if not self._done.done():
                self._done.set_result(result)
        finally:
            self._siblings.remove(self)
            self._thread = None
            _local.fiber = None

    def stop(self, error: BaseException) -> None:
        """Raise the error where the fiber waits."""
        if self._thread is not None:
            self._stop = error
            self._enter()

    def wait(self, future: "asyncio.Future[Any]") -> Any:
        """Called in the fiber: the future's result, when it is done."""
        if self._stop:
            raise self._stop
        if not future.done():
            future.add_done_callback(self._wake)
            assert self._thread
            self._thread.pause()
            if self._stop:
                raise self._stop
        return future.result()

    def _wake(self, _: Any) -> None:
        if self._thread is not None and self._stop is None:
            self._enter()


def current_fiber() -> Fiber | None:
    """The fiber that is running; None on the loop's own thread."""
    return getattr(_local, "fiber", None)


def wait_for(work: Any) -> Any:
    """Called in a fiber: the result of a coroutine or a future."""
    fiber = current_fiber()
    if fiber is None:
        raise RuntimeError("only blocking code that runs in a fiber may wait")
    return fiber.wait(asyncio.ensure_future(work, loop=fiber.loop))
