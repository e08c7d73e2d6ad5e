"""Which providers may be asked, and what to set for the others. Opens and imports nothing of theirs."""

from config.keys.anthropic import anthropic_disabled_why
from config.keys.fal import HOW_TO_SET, find_fal_key
from config.keys.google import NoAccess, find_gemini, find_vertex
from config.settings import Settings

PROVIDERS = ("fal", "vertex", "gemini", "anthropic")


def what_to_set(settings: Settings) -> dict[str, str | None]:
    """By provider: what would enable it, or None for one that is enabled."""
    vertex, gemini = find_vertex(settings.google), find_gemini(settings.google)
    return {
        "fal": None if settings.fal.fal_base_url or find_fal_key() else HOW_TO_SET,
        "vertex": vertex.how_to_set if isinstance(vertex, NoAccess) else None,
        "gemini": gemini.how_to_set if isinstance(gemini, NoAccess) else None,
        "anthropic": anthropic_disabled_why(settings.anthropic),
    }
