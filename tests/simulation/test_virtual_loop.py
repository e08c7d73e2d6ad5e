"""The virtual loop: time jumps, a frozen process waits, a dead one never goes on; blocking code waits in fibers."""

import asyncio

import pytest

from tests.simulation.fibers import wait_for
from tests.simulation.virtual_loop import Process, StalledError, VirtualLoop


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_an_hour_takes_no_time(loop) -> None:
    began = loop.time()
    loop.run_until_complete(asyncio.wait_for(asyncio.sleep(3600), 4000))
    assert loop.time() - began == pytest.approx(3600)


def test_a_loop_with_nothing_to_do_says_so(loop) -> None:
    with pytest.raises(StalledError):
        loop.run_until_complete(loop.create_future())


def test_a_frozen_process_goes_on_when_it_thaws(loop) -> None:
    process, ticks = Process(loop, "w1"), []

    async def tick() -> None:
        for _ in range(4):
            await asyncio.sleep(1)
            ticks.append(loop.time() - began)

    began = loop.time()
    process.start(tick())
    loop.outside_later(1.5, process.freeze, 10)
    loop.run_until_complete(asyncio.sleep(20))
    assert ticks == pytest.approx([1.0, 11.5, 12.5, 13.5])


def test_a_dead_process_does_nothing_more(loop) -> None:
    process, ticks = Process(loop, "w1"), []

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(1)

    task = process.start(tick())
    loop.outside_later(2.5, process.crash)
    loop.run_until_complete(asyncio.sleep(20))
    assert len(ticks) == 2
    task._log_destroy_pending = False


def test_blocking_code_waits_on_the_virtual_clock(loop) -> None:
    process = Process(loop, "w1")

    def block(seconds: float) -> float:
        wait_for(asyncio.sleep(seconds))
        return loop.time() - began

    began = loop.time()
    calls = [process.call(block, 5.0), process.call(block, 2.0)]
    assert loop.run_until_complete(asyncio.gather(*calls)) == [pytest.approx(5.0), pytest.approx(2.0)]


def test_a_crash_ends_blocking_code_where_it_waits(loop) -> None:
    process, left = Process(loop, "w1"), []

    def block() -> None:
        try:
            wait_for(asyncio.sleep(60))
            left.append("went on")
        finally:
            left.append("unwound")

    process.call(block)
    loop.outside_later(1.0, process.crash)
    loop.run_until_complete(asyncio.sleep(100))
    assert left == ["unwound"]
