"""Spares Redis while all is well: who was let go lets others go for a second, and good answers are told in one.

Failures, limits and half-open circuits are asked for and told as ever, at once. What another replica has learned is
known here a second later, at the most.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from worker.health.base import Change, Health, Permit, Policy, State, Wait
from worker.health.verdict import Verdict

CALM_S = 1.0
MOST_MODELS = 1000  # names of models that are passed through have no end


@dataclass
class _Well:
    """A model that was well when it was last asked for."""

    until: float
    at: float  # of the asking, by the inner clock
    untold: int = 0  # good answers


class BatchingHealth:
    """See `worker.health.base.Health`. For the tasks of one event loop; closes what it was made of."""

    def __init__(self, inner: Health, policy: Policy, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._limited = {*policy.concurrency, *policy.rate_per_s}
        self._well: dict[tuple[str, str], _Well] = {}

    async def ask(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """Whether a submission may go now: as a second ago, where that was well and nothing is limited."""
        well = self._well.get((provider, model))
        if well and self._clock() < well.until:
            return Permit(None, well.at)
        answer = await self._inner.ask(provider, model, lease_s)
        if isinstance(answer, Permit) and answer.token and not answer.probe and provider not in self._limited:
            if len(self._well) >= MOST_MODELS:
                self._well.clear()
            untold = well.untold if well else 0
            self._well[provider, model] = _Well(self._clock() + CALM_S, answer.at, untold)
        return answer

    async def shut(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now."""
        well = self._well.get((provider, model))
        return None if well and self._clock() < well.until else await self._inner.shut(provider, model)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """What came of it. Whoever asked tells of all good answers since; anything else is told at once."""
        well = self._well.get((provider, model))
        if well is None:
            return await self._inner.record(provider, model, verdict, permit)
        if verdict.kind == "good":
            if permit and permit.token is None:
                well.untold += 1
                return ()
            many, well.untold = 1 + well.untold, 0
            return await self._inner.record(provider, model, replace(verdict, times=many), permit)
        before: tuple[Change, ...] = ()
        if verdict.kind != "ignored":
            del self._well[provider, model]
            if well.untold:
                before = await self._inner.record(
                    provider, model, Verdict("good", times=well.untold), Permit(None, well.at)
                )
        return before + await self._inner.record(provider, model, verdict, permit)

    async def states(self) -> tuple[State, ...]:
        """Every circuit that is remembered."""
        return await self._inner.states()

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()
