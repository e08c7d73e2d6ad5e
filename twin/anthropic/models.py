"""Anthropic's models as of November 2026, with prices; every other id is not found, also a retired one."""

from dataclasses import dataclass

LONG_PROMPT = 100_000


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """One model; prices are US dollars for a million tokens. `long_factor` is for prompts above `LONG_PROMPT`."""

    name: str
    usd_in: float
    usd_out: float
    long_factor: float = 1.0

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """Return the price of a call in US dollars."""
        factor = self.long_factor if tokens_in > LONG_PROMPT else 1.0
        return round(factor * (tokens_in * self.usd_in + tokens_out * self.usd_out) / 1_000_000, 9)


_KNOWN = (
    ClaudeModel("claude-haiku-5-5", 0.1, 0.5, long_factor=5),
    ClaudeModel("claude-sonnet-5-5", 2, 10),
    ClaudeModel("claude-opus-5-5", 4, 20),
    ClaudeModel("claude-sonnet-5", 2, 10),
    ClaudeModel("claude-opus-5", 5, 25),
    ClaudeModel("claude-sonnet-4-6", 3, 15),
    ClaudeModel("claude-haiku-4-5", 1, 5),
    ClaudeModel("claude-sonnet-4-5", 3, 15),
)
MODELS = {model.name: model for model in _KNOWN}
