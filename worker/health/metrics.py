"""The Prometheus metrics of a process, in a registry of their own, so that no library adds its metrics."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes


class Totals(Collector):
    """Counters that all processes share in Redis. Every gateway reports the same numbers: take the largest."""

    ABOUT: Mapping[str, str] = {
        "kilnhand_possible_duplicates": "Jobs that ended with an attempt that may have been paid for twice",
        "kilnhand_messages_set_aside": "Broker messages that no worker could read",
    }

    def __init__(self) -> None:
        self._values: Mapping[str, int] = {}

    def set(self, values: Mapping[str, int]) -> None:
        """Set the counters, by name; one that is missing is not reported."""
        self._values = {name: values[name] for name in self.ABOUT if name in values}

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See prometheus_client."""
        for name, value in self._values.items():
            yield CounterMetricFamily(name, self.ABOUT[name], value=value)


class Metrics:
    """The counters and gauges of one process. Labels are few and fixed; never a job, tenant or address."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.webhooks = Counter(
            "kilnhand_webhooks",
            "Webhooks posted to the gateway, by kind: accepted, duplicate, forged and so on",
            ["provider", "kind"],
            registry=self._registry,
        )
        self.circuit = self._of_provider("kilnhand_circuit", "The provider's circuit: 0 closed, 1 half open, 2 open")
        self.models_open = self._of_provider("kilnhand_models_open", "Models whose circuit is not closed")
        self.in_flight = self._of_provider("kilnhand_in_flight", "Submissions under way")
        self.provider_alert = Gauge(
            "kilnhand_provider_alert",
            "1 while an operator has to act: locked account, bad key, or a model that the key may not use",
            ["provider", "cause"],
            registry=self._registry,
        )
        self.provider_paused = self._of_provider("kilnhand_provider_paused", "1 while the provider asks for a pause")

        self.totals = Totals()
        self._registry.register(self.totals)

    def _of_provider(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, ["provider"], registry=self._registry)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
