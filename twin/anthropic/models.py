"""Anthropic's models as of November 2026, with prices; every other id is not found, also a retired one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """One model; prices are US dollars for a million tokens."""

    name: str
    usd_in: float
    usd_out: float

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """Return the price of a call in US dollars."""
        return round((tokens_in * self.usd_in + tokens_out * self.usd_out) / 1_000_000, 8)


_KNOWN = (
    ClaudeModel("claude-haiku-5-5", 0.1, 0.5),
    ClaudeModel("claude-sonnet-5-5", 2, 10),
    ClaudeModel("claude-opus-5-5", 4, 20),
    ClaudeModel("claude-sonnet-5", 2, 10),
    ClaudeModel("claude-opus-5", 5, 25),
    ClaudeModel("claude-sonnet-4-6", 3, 15),
    ClaudeModel("claude-haiku-4-5", 1, 5),
    ClaudeModel("claude-sonnet-4-5", 3, 15),
)
MODELS = {model.name: model for model in _KNOWN}
