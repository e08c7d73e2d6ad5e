"""The SDK's own loop: results, errors and cancels pass; what blocks there does not block here."""

import asyncio
import threading
import time

import pytest

from worker.providers.google_thread import LoopThread


async def test_what_is_returned_and_raised_over_there_comes_here() -> None:
    thread = LoopThread("test")

    async def name() -> str:
        return threading.current_thread().name

    async def fail() -> None:
        raise LookupError("there")

    assert await thread.run(name()) == "test"
    with pytest.raises(LookupError, match="there"):
        await thread.run(fail())
    await thread.aclose()
    assert "test" not in {thread.name for thread in threading.enumerate()}


async def test_a_cancelled_caller_cancels_its_call() -> None:
    thread, began, ended = LoopThread("test"), threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise

    task = asyncio.create_task(thread.run(wait()))
    assert await asyncio.to_thread(began.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 5)
    await thread.aclose()


async def test_what_blocks_over_there_does_not_block_here() -> None:
    thread = LoopThread("test")

    async def block() -> None:
        time.sleep(0.1)

    task = asyncio.create_task(thread.run(block()))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > 5
    await thread.aclose()


async def test_closing_cancels_what_still_runs_and_may_be_done_twice() -> None:
    thread = LoopThread("test")
    task = asyncio.create_task(thread.run(asyncio.sleep(60)))
    await asyncio.sleep(0.01)
    await thread.aclose()
    await thread.aclose()

    with pytest.raises(asyncio.CancelledError):
        await task
