"""Whether Anthropic is enabled, and what to set if it is not. Does not import its SDK."""

from config.settings import AnthropicSettings

HOW_TO_SET = (
    "no Anthropic key: set ANTHROPIC_API_KEY; without an account, KILNHAND_ANTHROPIC_BASE_URL points at the twin "
    "(http://host:port/anthropic)"
)


def anthropic_disabled_why(settings: AnthropicSettings) -> str | None:
    """What to set to enable Anthropic; None if there is a key, or the twin, which accepts any key."""
    return None if settings.anthropic_api_key or settings.anthropic_base_url else HOW_TO_SET
