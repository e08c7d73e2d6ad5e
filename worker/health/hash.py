"""Names of the health's keys in Redis, and parsing of a circuit's hash. No I/O."""

from typing import cast

from worker.health.base import Cause, CircuitState, CircuitStatus, Policy

SLOTS = 10  # a window is counted in this many parts, as in record.lua


class Keys:
    """The names of the keys."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.known, self.others = prefix, f"{prefix}health:known", f"{prefix}health:others"

    def of(self, provider: str, model: str) -> list[str]:
        """The keys of one submission: circuits of provider and model, flights of the provider, lists of circuits."""
        circuit = f"{self.prefix}health:circuit:{provider}"
        flight = f"{self.prefix}health:flight:{provider}"
        return [circuit, f"{circuit}:{model}", flight, self.known, self.others]


def circuit_status(name: str, in_flight: int, flat: list[bytes], now_ms: int, policy: Policy) -> CircuitStatus:
    """The status of a circuit, from the flat fields that states.lua returns."""
    row = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2], strict=True)}
    provider, _, model = name.partition(":")
    until, paused = int(row.get("until", 0)), int(row.get("paused", 0))
    good, bad = (_counted(row, kind, now_ms, policy.window_s) for kind in ("good", "bad"))
    return CircuitStatus(
        provider,
        model or None,
        circuit_state(until / 1000, now_ms / 1000),
        cast(Cause, row["cause"]) if until else None,
        open_until=until / 1000 if until > now_ms else None,
        failures=bad,
        answers=good + bad,
        paused_until=paused / 1000 if paused > now_ms else None,
        in_flight=in_flight,
    )


def circuit_state(until: float, now: float) -> CircuitState:
    """The state of a circuit that was opened until `until`; 0 means that it was not."""
    if not until:
        return "closed"
    return "open" if until > now else "half_open"


def _counted(row: dict[str, str], kind: str, now_ms: int, window_s: float) -> int:
    oldest = int(now_ms // (window_s * 1000 / SLOTS)) - SLOTS
    slots = (field.partition(":") for field in row)
    return sum(int(row[f"{name}:{at}"]) for name, _, at in slots if name == kind and at and int(at) > oldest)
