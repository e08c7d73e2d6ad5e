"""A circuit's hash in Redis, read: keys by name, and the state that comes out of it. No I/O."""

from typing import cast

from worker.health.base import Cause, Policy, Stand, State

SLOTS = 10  # parts of a window; tell.lua counts in the same


class Keys:
    """The names of the keys."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.known = prefix, f"{prefix}health:known"

    def of(self, provider: str, model: str) -> list[str]:
        """Those of a submission: the circuits of provider and model, the flights, the list of all circuits."""
        circuit = f"{self.prefix}health:circuit:{provider}"
        return [circuit, f"{circuit}:{model}", f"{self.prefix}health:flight:{provider}", self.known]


def state_of(name: str, in_flight: int, flat: list[bytes], now_ms: int, policy: Policy) -> State:
    """The state of a circuit, from the reply of HGETALL inside a script."""
    row = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2], strict=True)}
    provider, _, model = name.partition(":")
    until, paused = int(row.get("until", 0)), int(row.get("paused", 0))
    good, bad = (_counted(row, kind, now_ms, policy.window_s) for kind in ("good", "bad"))
    return State(
        provider,
        model or None,
        stand_of(until / 1000, now_ms / 1000),
        cast(Cause, row["cause"]) if until else None,
        open_until=until / 1000 if until > now_ms else None,
        failures=bad,
        answers=good + bad,
        paused_until=paused / 1000 if paused > now_ms else None,
        in_flight=in_flight,
    )


def stand_of(until: float, now: float) -> Stand:
    """How a circuit stands that is open until then; 0 is closed."""
    if not until:
        return "closed"
    return "open" if until > now else "half_open"


def _counted(row: dict[str, str], kind: str, now_ms: int, window_s: float) -> int:
    oldest = int(now_ms // (window_s * 1000 / SLOTS)) - SLOTS
    slots = (field.partition(":") for field in row)
    return sum(int(row[f"{name}:{at}"]) for name, _, at in slots if name == kind and at and int(at) > oldest)
