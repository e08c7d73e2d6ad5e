"""Whether Anthropic can be asked, and what to set when it cannot. Knows nothing of its SDK."""

from config.settings import AnthropicSettings

HOW_TO_SET = (
    "no Anthropic key: set ANTHROPIC_API_KEY; without an account, KILNHAND_ANTHROPIC_BASE_URL points at the twin "
    "(http://host:port/anthropic)"
)


def anthropic_disabled_why(settings: AnthropicSettings) -> str | None:
    """What to set, or None when there is a key, or a stand-in that takes any."""
    return None if settings.anthropic_api_key or settings.anthropic_base_url else HOW_TO_SET
