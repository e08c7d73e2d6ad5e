"""What a process counts, for Prometheus. A registry of its own, so that nothing counts behind our back."""

from prometheus_client import CollectorRegistry, Counter, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes


class Metrics:
    """The counters of one process. Labels are few and fixed: never a job, a tenant, an address."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.webhooks = Counter(
            "kilnhand_webhooks",
            "Webhooks posted to the gateway, by what they turned out to be",
            ["provider", "kind"],
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All counters as Prometheus reads them."""
        return generate_latest(self._registry)
