"""Where changes and states of health are told: the log, and what Prometheus reads. Each change comes to one caller."""

from collections.abc import Iterable

import structlog

from worker.health.base import Change, Stand, State
from worker.health.metrics import Metrics

log = structlog.get_logger(__name__)

ALERTS = frozenset({"locked", "forbidden"})  # causes that no time heals
STANDS: dict[Stand, int] = {"closed": 0, "half_open": 1, "open": 2}


def report(changes: Iterable[Change]) -> None:
    """Log each change in a line of its own."""
    for change in changes:
        bound = log.bind(provider=change.provider, model=change.model)
        match change.kind:
            case "opened":
                bound.warning("circuit_opened", cause=change.cause, for_s=change.for_s)
            case "closed":
                bound.info("circuit_closed")
            case "alert":
                bound.error("provider_alert", cause=change.cause)


def show(states: Iterable[State], metrics: Metrics) -> None:
    """Set the gauges to these states, all of them: a circuit that is forgotten is closed."""
    found = tuple(states)
    gauges = (metrics.circuit, metrics.models_open, metrics.in_flight, metrics.provider_paused, metrics.provider_alert)
    for gauge in gauges:
        gauge.clear()
    for state in found:
        if state.stand != "closed" and state.cause in ALERTS:
            metrics.provider_alert.labels(state.provider, state.cause).set(1)
        if state.model is None:
            metrics.circuit.labels(state.provider).set(STANDS[state.stand])
            metrics.in_flight.labels(state.provider).set(state.in_flight)
            metrics.provider_paused.labels(state.provider).set(state.paused_until is not None)
            models = [other for other in found if other.provider == state.provider and other.model is not None]
            metrics.models_open.labels(state.provider).set(sum(other.stand != "closed" for other in models))
