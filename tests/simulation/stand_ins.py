"""What stands in for threads, sleeps, the broker's connection and the state of a process while a world runs."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future as ThreadFuture
from types import SimpleNamespace
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tests.simulation import virtual_loop
from tests.simulation.fibers import current_fiber, wait_for
from tests.simulation.virtual_loop import current_process

_running: list[Any] = []  # the world that runs


def world() -> Any:
    """The world that runs now; None between two."""
    return _running[-1] if _running else None


@contextlib.contextmanager
def now_running(one: Any) -> Iterator[None]:
    """Make it the world that runs."""
    _running.append(one)
    try:
        yield
    finally:
        _running.pop()


class VirtualTime:
    """The module `time` on the virtual clock."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return float(world().loop.time()) if world() else time.time()

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Wait on the virtual clock."""
        if current_fiber() is None:
            raise RuntimeError("time.sleep on the loop")
        wait_for(asyncio.sleep(seconds))


class FiberFuture(ThreadFuture):  # type: ignore[type-arg]
    """A future that blocking code waits for in its fiber."""

    def result(self, timeout: float | None = None) -> Any:
        """The result; `TimeoutError` after the timeout."""
        if not self.done():
            done = world().loop.create_future()
            self.add_done_callback(lambda _: done.done() or done.set_result(None))
            wait_for(asyncio.wait_for(done, timeout))
        return super().result(0)


class FiberLoop:
    """`worker.edge.loop.LoopThread`: the loop is the world's."""

    def __init__(self) -> None:
        self.loop = world().loop

    def run(self, work: Any, timeout_s: float = 30.0) -> Any:
        """Run a coroutine and wait for it."""
        return wait_for(asyncio.wait_for(work, timeout_s))

    def close(self) -> None:
        """Do nothing."""


class AsyncioModule:
    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def run_coroutine_threadsafe(self, work: Any, loop: Any) -> Any:
        return virtual_loop.run_threadsafe(loop, work, FiberFuture())


class States:
    """`worker.edge.states.LiveStates`: the states of running jobs."""

    def __init__(self, backend: Any, url: str) -> None:
        self._backend = backend

    async def write(self, job: Any, status: Any) -> None:
        if job.message.get("ignore_result"):
            return
        process, here = current_process(), world()
        assert process
        meta = {"task_id": job.id, "status": status.state, "result": None, "traceback": None, "children": []}
        key, value = self._backend.get_key_for_task(job.id).decode(), json.dumps(meta)
        store = lambda: here.results.store(key, value)  # noqa: E731
        await here.server.command(process, "state", store, is_ledger=False, retries=1, timeout_s=10.0)

    async def aclose(self) -> None: ...


class Threads:
    """A thread pool: the loop's `run_in_executor` makes fibers."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def shutdown(self, **_: Any) -> None: ...


class Revoked:
    """Celery's memory of revoked ids, which each worker has for itself."""

    def __getattr__(self, name: str) -> Any:
        process = current_process()
        return getattr(process.worker.revoked if process and hasattr(process, "worker") else set(), name)

    def __contains__(self, job_id: str) -> bool:
        return bool(self.__getattr__("__contains__")(job_id))


class Service:
    """`app.job_service`, which is that of the worker whose code runs."""

    def __getattr__(self, name: str) -> Any:
        process = current_process()
        return getattr(process.worker.service, name)  # type: ignore[union-attr]


class Connection:
    """The connection on which Celery publishes."""

    @contextlib.contextmanager
    def _reraise_as_library_errors(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise OperationalError(str(error)) from error

    @property
    def connection(self) -> Any:
        return self


class Events:
    @contextlib.contextmanager
    def default_dispatcher(self, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(send=lambda *_, **__: None)
