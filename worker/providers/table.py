"""Every provider by its name in routes: what would enable it, and the module that opens it.

The module has `async def open_provider(settings, memory)`. It is imported only for an enabled provider: an SDK costs up
to a second and 40 MB.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.keys.anthropic import anthropic_disabled_why
from config.keys.comfy import stream_disabled_why
from config.keys.fal import fal_disabled_why
from config.keys.google import gemini_disabled_why, vertex_disabled_why
from config.settings import Settings
from worker.files.memory_budget import MemoryBudget
from worker.providers.base import Provider


@dataclass(frozen=True)
class ProviderEntry:
    """A row of the table. `disabled_why` says what to set, or None when the provider is enabled."""

    module: str
    disabled_why: Callable[[Settings], str | None]


PROVIDERS: Mapping[str, ProviderEntry] = {
    "fal": ProviderEntry("worker.providers.fal.provider", lambda settings: fal_disabled_why(settings.fal)),
    "fal-stream": ProviderEntry("worker.providers.fal.streaming", lambda settings: stream_disabled_why(settings.fal)),
    "fal-direct": ProviderEntry("worker.providers.fal.direct", lambda settings: fal_disabled_why(settings.fal)),
    "vertex": ProviderEntry("worker.providers.google.vertex", lambda settings: vertex_disabled_why(settings.google)),
    "gemini": ProviderEntry("worker.providers.google.gemini", lambda settings: gemini_disabled_why(settings.google)),
    "anthropic": ProviderEntry(
        "worker.providers.anthropic.provider", lambda settings: anthropic_disabled_why(settings.anthropic)
    ),
    "local": ProviderEntry("worker.providers.local.provider", lambda settings: None),
}


def what_to_set(settings: Settings) -> dict[str, str | None]:
    """By provider: what would enable it, or None for one that is enabled. Imports nothing of theirs."""
    return {name: entry.disabled_why(settings) for name, entry in PROVIDERS.items()}


async def open_provider(name: str, settings: Settings, memory: MemoryBudget) -> Provider:
    """The provider, opened. The caller closes it."""
    provider: Provider = await importlib.import_module(PROVIDERS[name].module).open_provider(settings, memory)
    return provider
