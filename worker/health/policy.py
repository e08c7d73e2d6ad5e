"""Reads the health policy from the settings."""

from config.catalogue import Catalogue
from config.settings import HealthSettings
from worker.health.base import Policy


def policy_of(settings: HealthSettings, catalogue: Catalogue | None = None) -> Policy:
    """The policy of these settings, with defaults for the rest. What is not in the catalogue counts for itself."""
    models = catalogue.models if catalogue else ()
    return Policy(
        window_s=settings.breaker_window_s,
        failures=settings.breaker_failures,
        ratio=settings.breaker_ratio,
        open_s=settings.breaker_open_s,
        open_max_s=max(settings.breaker_open_s, settings.breaker_open_max_s),
        concurrency={name: int(most) for name, most in settings.concurrency.items()},
        rate_per_s=dict(settings.rates),
        listed=frozenset((route.provider, route.endpoint) for model in models for route in model.routes) or None,
    )
