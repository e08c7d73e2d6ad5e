"""Provider health in memory, for tests of the layers above. Keeps the same contract; the test sets the clock."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from worker.health.base import Cause, Change, CircuitStatus, Permit, Policy, Wait, WaitReason
from worker.health.circuit import Circuit, CircuitChange
from worker.health.hash import circuit_state
from worker.health.verdict import Verdict

# by kind of verdict: whether it opens the provider's circuit or the model's, and the cause
OPENS_AT_ONCE: dict[str, tuple[bool, Cause]] = {
    "locked": (True, "locked"),
    "forbidden": (False, "forbidden"),
    "retired": (False, "retired"),
}


class MemoryHealth:
    """See `worker.health.base.Health`. Circuits never expire, since a test is short."""

    def __init__(self, clock: Callable[[], float], policy: Policy) -> None:
        self._clock, self._policy, self._tokens = clock, policy, count(1)
        self._circuits: dict[tuple[str, str | None], Circuit] = {}
        self._flights: dict[str, dict[str, float]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}  # rate limits by provider: tokens left, and when

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """A permit for one submission now, or how long to wait."""
        now, pair = self._clock(), self._pair(provider, model)
        if wait := await self.peek(provider, model):
            return wait
        token, half_open = str(next(self._tokens)), [circuit for circuit in pair if circuit.until]
        if self._policy.is_alone(provider, model):
            half_open = [circuit for circuit in half_open if not circuit.is_provider]
        for circuit in half_open:
            circuit.probe, circuit.probe_until = token, now + lease_s
        if rate := self._policy.rate_per_s.get(provider, 0.0):
            self._buckets[provider] = (self._tokens_left(provider, rate, now) - 1, now)
        self._flights.setdefault(provider, {})[token] = now + lease_s
        return Permit(token, now, bool(half_open))

    async def peek(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now."""
        now, pair = self._clock(), self._pair(provider, model)
        alone = self._policy.is_alone(provider, model)
        waits = [wait for circuit in pair for wait in self._circuit_waits(circuit, now, alone, self._key(provider))]
        return max([*waits, *self._limit_waits(provider, now)], key=lambda wait: wait.after_s, default=None)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """Record the verdict on a submission."""
        now, permit, pair = self._clock(), permit or Permit(), self._pair(provider, model)
        if alone := self._policy.is_alone(provider, model):
            pair = (pair[1], pair[1])  # in place of its provider's, too
        changes = tuple(
            Change(kind, provider, None if circuit.is_provider else model, cause, for_s)  # type: ignore[arg-type]
            for circuit in ((pair[1],) if alone else pair)
            for kind, cause, for_s in self._changes(circuit, verdict, permit, model, now, alone, self._key(provider))
        )
        self._pause(pair, verdict, now)
        self._flights.get(provider, {}).pop(permit.token or "", None)
        return changes

    async def states(self) -> tuple[CircuitStatus, ...]:
        """The status of every known circuit."""
        now = self._clock()
        known = sorted(self._circuits.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return tuple(
            CircuitStatus(
                provider,
                model,
                circuit_state(circuit.until, now),
                circuit.cause,
                open_until=circuit.until if circuit.until > now else None,
                failures=circuit.failures(now),
                answers=circuit.total(now),
                paused_until=circuit.paused if circuit.paused > now else None,
                in_flight=len(self._flights_of(provider, now)) if model is None else 0,
            )
            for (provider, model), circuit in known
        )

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    def _key(self, provider: str) -> str:
        return self._policy.keys.get(provider, "")

    def _pair(self, provider: str, model: str) -> tuple[Circuit, Circuit]:
        own = self._circuits.setdefault((provider, None), Circuit(self._policy, is_provider=True))
        return own, self._circuits.setdefault((provider, model), Circuit(self._policy))

    def _circuit_waits(self, circuit: Circuit, now: float, alone: bool, key: str) -> Iterator[Wait]:
        if circuit.paused > now:
            yield Wait(circuit.paused - now, "paused")
        if circuit.is_open(now, key):
            yield Wait(circuit.until - now, "open", circuit.cause)
        elif circuit.until and not (alone and circuit.is_provider) and circuit.probe and circuit.probe_until > now:
            yield replace(self._recheck(circuit.probe_until - now, "probing"), cause=circuit.cause)

    def _limit_waits(self, provider: str, now: float) -> Iterator[Wait]:
        most, flights = self._policy.concurrency.get(provider, 0), self._flights_of(provider, now)
        if most and len(flights) >= most:
            yield self._recheck(min(flights.values()) - now, "full")
        rate = self._policy.rate_per_s.get(provider, 0.0)
        if rate and (left := self._tokens_left(provider, rate, now)) < 1:
            yield Wait((1 - left) / rate, "full")

    def _recheck(self, left_s: float, why: WaitReason) -> Wait:
        return Wait(min(left_s, self._policy.recheck_s), why)

    def _flights_of(self, provider: str, now: float) -> dict[str, float]:
        flights = self._flights.get(provider, {})
        self._flights[provider] = {token: until for token, until in flights.items() if until > now}
        return self._flights[provider]

    def _tokens_left(self, provider: str, rate: float, now: float) -> float:
        most = max(1.0, rate)
        tokens, at = self._buckets.get(provider, (most, now))
        return min(most, tokens + (now - at) * rate)

    def _changes(
        self, circuit: Circuit, verdict: Verdict, permit: Permit, model: str, now: float, alone: bool, key: str
    ) -> Iterator[CircuitChange]:
        is_mine = permit.token is not None and circuit.probe == permit.token
        is_stale = 0 < permit.at < circuit.closed_at
        hint_s = self._policy.hint_s(verdict)
        if is_mine:
            circuit.probe, circuit.probe_until = None, 0.0
        if verdict.kind in OPENS_AT_ONCE:
            for_provider, cause = OPENS_AT_ONCE[verdict.kind]
            if (for_provider and not alone) == circuit.is_provider and not is_stale:
                for_s = self._policy.retired_s if cause == "retired" else self._policy.lock_s
                yield from circuit.open_at_once(cause, for_s, now, key)
        elif verdict.kind in {"good", "bad"} and not circuit.until and not is_stale:
            for _ in range(verdict.count if verdict.kind == "good" else 1):
                yield from circuit.count(verdict.kind == "good", model, now, hint_s)
        elif verdict.kind in {"good", "bad"} and circuit.until and is_mine:
            yield from [circuit.close(now)] if verdict.kind == "good" else circuit.fail(now, hint_s)

    def _pause(self, pair: tuple[Circuit, Circuit], verdict: Verdict, now: float) -> None:
        own, of_model = pair
        if verdict.kind == "good":
            own.pauses = 0
        pause_s = self._policy.hint_s(verdict)
        if verdict.kind == "limited" and not pause_s and own.paused <= now:
            own.pauses += 1
            pause_s = min(self._policy.backoff_max_s, self._policy.backoff_s * 2.0 ** (own.pauses - 1))
        paused = {"limited": own, "bad": of_model}.get(verdict.kind)
        if paused is not None and pause_s:
            paused.paused = max(paused.paused, now + pause_s)
