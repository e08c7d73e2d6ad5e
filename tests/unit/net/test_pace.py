"""How slow a transfer may be."""

import asyncio

import pytest

from worker.net.pace import Pace, TooSlowError, least_throughput

FAST = Pace(least_bytes_per_s=1000, window_s=0.05)


async def test_a_transfer_that_drips_is_ended() -> None:
    with pytest.raises(TooSlowError, match=r"slower than 1 kB/s"):
        async with asyncio.timeout(2), least_throughput(FAST) as count:
            while True:
                count(1)
                await asyncio.sleep(0.01)


async def test_a_transfer_that_keeps_the_pace_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, now = asyncio.get_running_loop(), [1000.0]
    monkeypatch.setattr(loop, "time", lambda: now[0])
    with pytest.raises(TooSlowError):
        async with least_throughput(Pace(least_bytes_per_s=1000, window_s=5)) as count:
            for _ in range(10):
                now[0] += 4.0
                count(5000)
                await asyncio.sleep(0)
            reached = now[0]
            now[0] += 6.0
            for _ in range(5):
                await asyncio.sleep(0)
    assert reached == 1040, "it went on as long as enough bytes came"


async def test_another_timeout_is_not_taken_for_slowness() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.01), least_throughput(Pace(window_s=600)):
            await asyncio.Event().wait()
    assert not isinstance(caught.value, TooSlowError)


def test_the_total_time_goes_by_size() -> None:
    assert Pace(10_000, 10, 20).total_s(1_000_000) == 120
