"""Reports health: changes to the log, circuit states to Prometheus. Each change is returned to one caller only."""

from collections.abc import Iterable

import structlog

from worker.health.base import Change, CircuitState, CircuitStatus
from worker.health.metrics import Metrics

log = structlog.get_logger(__name__)

ALERTS = frozenset({"locked", "forbidden"})  # causes that need an operator
GAUGE_VALUES: dict[CircuitState, int] = {"closed": 0, "half_open": 1, "open": 2}


def log_changes(changes: Iterable[Change]) -> None:
    """Log one line per change."""
    for change in changes:
        bound = log.bind(provider=change.provider, model=change.model)
        match change.kind:
            case "opened":
                bound.warning("circuit_opened", cause=change.cause, for_s=change.for_s)
            case "closed":
                bound.info("circuit_closed")
            case "alert":
                bound.error("provider_alert", cause=change.cause)


def set_gauges(states: Iterable[CircuitStatus], metrics: Metrics) -> None:
    """Set all gauges to these states. A circuit that is not among them is closed, so its gauge is removed."""
    found = tuple(states)
    gauges = (metrics.circuit, metrics.models_open, metrics.in_flight, metrics.provider_paused, metrics.provider_alert)
    for gauge in gauges:
        gauge.clear()
    for state in found:
        if state.stand != "closed" and state.cause in ALERTS:
            metrics.provider_alert.labels(state.provider, state.cause).set(1)
        if state.model is None:
            metrics.circuit.labels(state.provider).set(GAUGE_VALUES[state.stand])
            metrics.in_flight.labels(state.provider).set(state.in_flight)
            metrics.provider_paused.labels(state.provider).set(state.paused_until is not None)
            models = [other for other in found if other.provider == state.provider and other.model is not None]
            metrics.models_open.labels(state.provider).set(sum(other.stand != "closed" for other in models))
