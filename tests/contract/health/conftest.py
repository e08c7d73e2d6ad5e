"""The implementations under test, each with a way to let time pass. Times are short, since Redis expires keys by its own clock."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.contract.redis_clock import RedisClock
from worker.health.base import Change, Health, Permit, Policy
from worker.health.memory import MemoryHealth
from worker.health.redis import open_redis_health
from worker.health.verdict import Verdict

BAD = Verdict("bad")
LOCKED = Verdict("locked")
LEASE_S = 0.2
POLICY = Policy(
    window_s=0.6,
    failures=5,
    ratio=0.5,
    open_s=0.15,
    open_max_s=0.4,
    lock_s=0.2,
    retired_s=60,
    pause_max_s=5,
    backoff_s=0.2,
    backoff_max_s=0.3,
    recheck_s=0.1,
)


@dataclass
class Bench:
    health: Health
    passes: Callable[[float], Any]  # let so many seconds pass
    open: Callable[[Policy], Health]  # opens another replica, or one with another policy

    async def permit(self, model: str = "m", provider: str = "fal", lease_s: float = LEASE_S) -> Permit:
        """A permit; the test fails if there is none."""
        found = await self.health.acquire(provider, model, lease_s)
        assert isinstance(found, Permit), found
        return found

    async def submit(self, verdict: Verdict, times: int = 1, model: str = "m") -> tuple[Change, ...]:
        """Make `times` submissions with this verdict. Returns the changes of the last one."""
        changes: tuple[Change, ...] = ()
        for _ in range(times):
            changes = await self.health.record("fal", model, verdict, await self.permit(model))
        return changes

    async def half_open(self) -> None:
        """Open the model's circuit, and let its time pass."""
        assert [change.kind for change in await self.submit(BAD, POLICY.failures)] == ["opened"]
        await self.passes(POLICY.open_s + 0.02)


@pytest.fixture(params=["memory", "redis"])
async def bench(
    request: pytest.FixtureRequest, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    redis_clock = RedisClock(redis_url, monkeypatch) if request.param == "redis" else None
    opened: list[Health] = []
    clock = [1000.0]

    async def advance(seconds: float) -> None:
        clock[0] += seconds

    def open_(policy: Policy) -> Health:
        if request.param == "redis":
            opened.append(open_redis_health(redis_url, policy))
        else:
            opened.append(MemoryHealth(lambda: clock[0], policy))
        return opened[-1]

    yield Bench(open_(POLICY), redis_clock.passes if redis_clock else advance, open_)
    for health in opened:
        await health.aclose()
    if redis_clock:
        redis_clock.close()


def limited(**limits: dict[str, float]) -> Policy:
    return replace(POLICY, **limits)  # type: ignore[arg-type]
