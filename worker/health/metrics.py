"""What a process counts, for Prometheus. A registry of its own, so that nothing counts behind our back."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes


class Metrics:
    """The counters and gauges of one process. Labels are few and fixed: never a job, a tenant, an address."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.webhooks = Counter(
            "kilnhand_webhooks",
            "Webhooks posted to the gateway, by what they turned out to be",
            ["provider", "kind"],
            registry=self._registry,
        )
        self.circuit = self._of_provider("kilnhand_circuit", "The provider's circuit: 0 closed, 1 half open, 2 open")
        self.models_open = self._of_provider("kilnhand_models_open", "Models whose circuit is not closed")
        self.in_flight = self._of_provider("kilnhand_in_flight", "Submissions under way")
        self.provider_alert = Gauge(
            "kilnhand_provider_alert",
            "1 while somebody has to see to the account, the key, or a model that is not ours to use",
            ["provider", "cause"],
            registry=self._registry,
        )
        self.provider_paused = self._of_provider("kilnhand_provider_paused", "1 while it has asked for a pause")

    def _of_provider(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, ["provider"], registry=self._registry)

    def text(self) -> bytes:
        """All counters as Prometheus reads them."""
        return generate_latest(self._registry)
