"""The Prometheus metrics of a process, in a registry of their own, so that no library adds its metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes


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

    def _of_provider(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, ["provider"], registry=self._registry)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
