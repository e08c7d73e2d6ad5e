"""Saves Redis calls while providers are healthy: caches a closed circuit for one second, sends good answers in batches.

Failures, limited providers and half-open circuits are asked for and reported at once. A change that another replica
made is known here after one second at most.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from worker.health.base import Change, CircuitStatus, Health, Permit, Policy, Wait
from worker.health.verdict import Verdict

CACHE_S = 1.0
MAX_MODELS = 1000  # callers may pass any model name through, so the cache needs a limit


@dataclass
class _HealthyModel:
    """A model whose circuit was closed when Redis was last asked."""

    until: float  # when the cached answer expires
    at: float  # when Redis was asked, by its clock
    unreported: int = 0  # good answers that Redis does not know yet


class BatchingHealth:
    """See `worker.health.base.Health`. For the tasks of one event loop. Closing it closes the inner health."""

    def __init__(self, inner: Health, policy: Policy, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._limited = {*policy.concurrency, *policy.rate_per_s}
        self._healthy: dict[tuple[str, str], _HealthyModel] = {}

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """A permit from the cache if the circuit was closed a second ago and the provider has no limits."""
        cached = self._healthy.get((provider, model))
        if cached and self._clock() < cached.until:
            return Permit(None, cached.at)
        answer = await self._inner.acquire(provider, model, lease_s)
        if isinstance(answer, Permit) and answer.token and not answer.probe and provider not in self._limited:
            if len(self._healthy) >= MAX_MODELS:
                self._healthy.clear()
            unreported = cached.unreported if cached else 0
            self._healthy[provider, model] = _HealthyModel(self._clock() + CACHE_S, answer.at, unreported)
        return answer

    async def peek(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now."""
        cached = self._healthy.get((provider, model))
        return None if cached and self._clock() < cached.until else await self._inner.peek(provider, model)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """Count a good answer of a cached permit here; the next one with a permit from Redis reports them all.

        Any other verdict is reported at once, after the good answers before it.
        """
        cached = self._healthy.get((provider, model))
        if cached is None:
            return await self._inner.record(provider, model, verdict, permit)
        if verdict.kind == "good":
            if permit and permit.token is None:
                cached.unreported += 1
                return ()
            count, cached.unreported = 1 + cached.unreported, 0
            return await self._inner.record(provider, model, replace(verdict, count=count), permit)
        before: tuple[Change, ...] = ()
        if verdict.kind != "ignored":
            del self._healthy[provider, model]
            if cached.unreported:
                before = await self._inner.record(
                    provider, model, Verdict("good", count=cached.unreported), Permit(None, cached.at)
                )
        return before + await self._inner.record(provider, model, verdict, permit)

    async def states(self) -> tuple[CircuitStatus, ...]:
        """The status of every known circuit."""
        return await self._inner.states()

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()
