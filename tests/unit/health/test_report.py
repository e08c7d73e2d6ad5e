"""Health in the log and in Prometheus."""

from structlog.testing import capture_logs

from worker.health.base import Change, CircuitStatus
from worker.health.metrics import Metrics
from worker.health.report import log_changes, set_gauges


def test_each_change_is_one_line_of_the_log() -> None:
    with capture_logs() as logs:
        log_changes(
            (
                Change("opened", "fal", None, "locked", 300),
                Change("alert", "fal", None, "locked", 300),
                Change("closed", "fal", "m"),
            )
        )
    assert [(line["event"], line["log_level"], line["model"]) for line in logs] == [
        ("circuit_opened", "warning", None),
        ("provider_alert", "error", None),
        ("circuit_closed", "info", "m"),
    ]


def test_gauges_show_the_states_and_drop_those_that_are_gone() -> None:
    metrics = Metrics()
    broken = CircuitStatus("fal", None, "open", "locked", open_until=9.0, in_flight=3, paused_until=8.0)
    set_gauges(
        [broken, CircuitStatus("fal", "m", "half_open"), CircuitStatus("fal", "n"), CircuitStatus("vertex", None)],
        metrics,
    )
    text = metrics.text().decode()
    for line in (
        'kilnhand_circuit{provider="fal"} 2.0',
        'kilnhand_circuit{provider="vertex"} 0.0',
        'kilnhand_models_open{provider="fal"} 1.0',
        'kilnhand_in_flight{provider="fal"} 3.0',
        'kilnhand_provider_paused{provider="fal"} 1.0',
        'kilnhand_provider_alert{cause="locked",provider="fal"} 1.0',
    ):
        assert line in text
    set_gauges([], metrics)
    assert 'provider="fal"' not in metrics.text().decode()


def test_a_model_is_never_a_label() -> None:
    metrics = Metrics()
    set_gauges([CircuitStatus("fal", None), CircuitStatus("fal", "owner/model", "open")], metrics)
    assert "owner/model" not in metrics.text().decode()
