"""The health of providers in memory, for tests of what stands above it: the same promises, with a clock to be wound."""

from collections.abc import Callable, Iterator
from itertools import count

from worker.health.base import Cause, Change, Permit, Policy, State, Wait, Why
from worker.health.circuit import Circuit, Turned
from worker.health.hash import stand_of
from worker.health.verdict import Verdict

SHUT: dict[str, tuple[bool, Cause]] = {  # a verdict: whether it is the provider's circuit that it shuts
    "locked": (True, "locked"),
    "forbidden": (False, "forbidden"),
    "retired": (False, "retired"),
}


class MemoryHealth:
    """See `worker.health.base.Health`. Not forgotten by time: a test is short."""

    def __init__(self, clock: Callable[[], float], policy: Policy) -> None:
        self._clock, self._policy, self._tokens = clock, policy, count(1)
        self._circuits: dict[tuple[str, str | None], Circuit] = {}
        self._flights: dict[str, dict[str, float]] = {}
        self._left: dict[str, tuple[float, float]] = {}  # by provider: tokens, and when they were counted

    async def ask(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """Whether a submission may go now."""
        now, pair = self._clock(), self._pair(provider, model)
        if wait := await self.shut(provider, model):
            return wait
        token, half_open = str(next(self._tokens)), [circuit for circuit in pair if circuit.until]
        for circuit in half_open:
            circuit.probe, circuit.probe_until = token, now + lease_s
        if rate := self._policy.rate_per_s.get(provider, 0.0):
            self._left[provider] = (self._tokens_left(provider, rate, now) - 1, now)
        self._flights.setdefault(provider, {})[token] = now + lease_s
        return Permit(token, now, bool(half_open))

    async def shut(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now."""
        now, pair = self._clock(), self._pair(provider, model)
        waits = [wait for circuit in pair for wait in self._held_by(circuit, now)]
        return max([*waits, *self._full(provider, now)], key=lambda wait: wait.after_s, default=None)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """What came of it."""
        now, permit, pair = self._clock(), permit or Permit(), self._pair(provider, model)
        changes = tuple(
            Change(kind, provider, None if circuit.is_whole else model, cause, for_s)  # type: ignore[arg-type]
            for circuit in pair
            for kind, cause, for_s in self._turned(circuit, verdict, permit, model, now)
        )
        self._pause(pair, verdict, now)
        self._flights.get(provider, {}).pop(permit.token or "", None)
        return changes

    async def states(self) -> tuple[State, ...]:
        """Every circuit that was told of."""
        now = self._clock()
        known = sorted(self._circuits.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return tuple(
            State(
                provider,
                model,
                stand_of(circuit.until, now),
                circuit.cause,
                open_until=circuit.until if circuit.until > now else None,
                failures=circuit.failures(now),
                answers=circuit.every(now),
                paused_until=circuit.paused if circuit.paused > now else None,
                in_flight=len(self._flying(provider, now)) if model is None else 0,
            )
            for (provider, model), circuit in known
        )

    async def aclose(self) -> None:
        """Nothing is open."""

    def _pair(self, provider: str, model: str) -> tuple[Circuit, Circuit]:
        whole = self._circuits.setdefault((provider, None), Circuit(self._policy, is_whole=True))
        return whole, self._circuits.setdefault((provider, model), Circuit(self._policy))

    def _held_by(self, circuit: Circuit, now: float) -> Iterator[Wait]:
        if circuit.paused > now:
            yield Wait(circuit.paused - now, "paused")
        if circuit.until > now:
            yield Wait(circuit.until - now, "open")
        elif circuit.until and circuit.probe and circuit.probe_until > now:
            yield self._again(circuit.probe_until - now, "probing")

    def _full(self, provider: str, now: float) -> Iterator[Wait]:
        most, flying = self._policy.concurrency.get(provider, 0), self._flying(provider, now)
        if most and len(flying) >= most:
            yield self._again(min(flying.values()) - now, "full")
        rate = self._policy.rate_per_s.get(provider, 0.0)
        if rate and (left := self._tokens_left(provider, rate, now)) < 1:
            yield Wait((1 - left) / rate, "full")

    def _again(self, left_s: float, why: Why) -> Wait:
        return Wait(min(left_s, self._policy.again_s), why)

    def _flying(self, provider: str, now: float) -> dict[str, float]:
        flights = self._flights.get(provider, {})
        self._flights[provider] = {token: until for token, until in flights.items() if until > now}
        return self._flights[provider]

    def _tokens_left(self, provider: str, rate: float, now: float) -> float:
        most = max(1.0, rate)
        tokens, at = self._left.get(provider, (most, now))
        return min(most, tokens + (now - at) * rate)

    def _turned(self, circuit: Circuit, verdict: Verdict, permit: Permit, model: str, now: float) -> Iterator[Turned]:
        is_mine = permit.token is not None and circuit.probe == permit.token
        is_stale = 0 < permit.at < circuit.closed_at
        hint_s = self._policy.hint_s(verdict)
        if is_mine:
            circuit.probe, circuit.probe_until = None, 0.0
        if verdict.kind in SHUT:
            whole, cause = SHUT[verdict.kind]
            if whole == circuit.is_whole and not is_stale:
                for_s = self._policy.retired_s if cause == "retired" else self._policy.lock_s
                yield from circuit.shut(cause, for_s, now)
        elif verdict.kind in {"good", "bad"} and not circuit.until and not is_stale:
            for _ in range(verdict.times if verdict.kind == "good" else 1):
                yield from circuit.count(verdict.kind == "good", model, now, hint_s)
        elif verdict.kind in {"good", "bad"} and circuit.until and is_mine:
            yield from [circuit.close(now)] if verdict.kind == "good" else circuit.fail(now, hint_s)

    def _pause(self, pair: tuple[Circuit, Circuit], verdict: Verdict, now: float) -> None:
        whole, one = pair
        if verdict.kind == "good":
            whole.pauses = 0
        pause_s = self._policy.hint_s(verdict)
        if verdict.kind == "limited" and not pause_s and whole.paused <= now:
            whole.pauses += 1
            pause_s = min(self._policy.backoff_max_s, self._policy.backoff_s * 2.0 ** (whole.pauses - 1))
        paused = {"limited": whole, "bad": one}.get(verdict.kind)
        if paused is not None and pause_s:
            paused.paused = max(paused.paused, now + pause_s)
