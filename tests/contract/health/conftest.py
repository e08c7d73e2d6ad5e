"""The healths that the suite is run over, each with its way to let time pass. Times are short, as one of them is real."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

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
    open: Callable[[Policy], Health]  # another replica, or another policy

    async def go(self, model: str = "m", provider: str = "fal", lease_s: float = LEASE_S) -> Permit:
        """A submission that must be let go."""
        found = await self.health.acquire(provider, model, lease_s)
        assert isinstance(found, Permit), found
        return found

    async def told(self, verdict: Verdict, times: int = 1, model: str = "m") -> tuple[Change, ...]:
        """So many submissions with this verdict; what the last one changed."""
        changes: tuple[Change, ...] = ()
        for _ in range(times):
            changes = await self.health.record("fal", model, verdict, await self.go(model))
        return changes

    async def half_open(self) -> None:
        """Open the circuit before the model, and let its time pass."""
        assert [change.kind for change in await self.told(BAD, POLICY.failures)] == ["opened"]
        await self.passes(POLICY.open_s + 0.02)


@pytest.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Bench]:
    opened: list[Health] = []
    clock = [1000.0]

    async def wind(seconds: float) -> None:
        clock[0] += seconds

    def open_(policy: Policy) -> Health:
        if request.param == "redis":
            opened.append(open_redis_health(redis_url, policy))
        else:
            opened.append(MemoryHealth(lambda: clock[0], policy))
        return opened[-1]

    yield Bench(open_(POLICY), wind if request.param == "memory" else asyncio.sleep, open_)
    for health in opened:
        await health.aclose()


def limited(**limits: dict[str, float]) -> Policy:
    return replace(POLICY, **limits)  # type: ignore[arg-type]
