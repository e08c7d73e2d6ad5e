"""Counts the tokens of a generateContent call, for `usageMetadata` and for the bill."""

from dataclasses import dataclass, replace
from typing import Any

from twin.caption import estimate_tokens
from twin.google.checked_request import CheckedRequest
from twin.google.models import GoogleModel, Kind

PICTURE_TOKENS = {
    "MEDIA_RESOLUTION_LOW": 280,
    "MEDIA_RESOLUTION_MEDIUM": 560,
    "MEDIA_RESOLUTION_HIGH": 1120,
}
PICTURE_TOKENS_OF_IMAGE_MODELS = 560
"""0.0011 US dollars for a picture, at 2 US dollars for a million tokens."""
DEFAULT_THOUGHTS = {Kind.IMAGE: 240, Kind.TEXT: 120}


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a call."""

    model: GoogleModel
    size: str
    text_in: int
    pictures_in: int
    thoughts: int = 0
    text_out: int = 0
    pictures_out: int = 0

    @classmethod
    def of(cls, checked: CheckedRequest) -> "Usage":
        """Return the tokens of the prompt."""
        resolution = checked.body.generation_config.media_resolution or ""
        each = (
            PICTURE_TOKENS_OF_IMAGE_MODELS if checked.model.kind is Kind.IMAGE else PICTURE_TOKENS.get(resolution, 1120)
        )
        return cls(
            checked.model, checked.size, estimate_tokens(checked.facts.prompt), each * len(checked.facts.pictures)
        )

    def with_thoughts(self, tokens: int | None = None) -> "Usage":
        """Return a copy with thoughts before the answer."""
        return replace(self, thoughts=DEFAULT_THOUGHTS[self.model.kind] if tokens is None else tokens)

    def with_text(self, text: str) -> "Usage":
        """Return a copy with a text in the answer."""
        return replace(self, text_out=estimate_tokens(text))

    def with_picture(self) -> "Usage":
        """Return a copy with a picture in the answer."""
        return replace(self, pictures_out=self.model.sizes[self.size])

    @property
    def units(self) -> float:
        """The billed units: pictures of an image model, tokens of other models."""
        if self.model.kind is Kind.IMAGE:
            return 1.0 if self.pictures_out else 0.0
        return float(self.total)

    @property
    def total(self) -> int:
        """All tokens."""
        return self.text_in + self.pictures_in + self.thoughts + self.text_out + self.pictures_out

    @property
    def usd(self) -> float:
        """The price of the call in US dollars."""
        tokens_in, tokens_out = self.text_in + self.pictures_in, self.thoughts + self.text_out
        drawn = self.pictures_out * self.model.usd_drawn
        return round((tokens_in * self.model.usd_in + tokens_out * self.model.usd_out + drawn) / 1_000_000, 9)

    def metadata(self, *, with_traffic: bool) -> dict[str, Any]:
        """Return `usageMetadata` without zeros, which protobuf's JSON leaves out, too."""
        given = {"TEXT": self.text_in, "IMAGE": self.pictures_in}
        made = {"TEXT": self.text_out, "IMAGE": self.pictures_out}
        counts = {
            "promptTokenCount": sum(given.values()),
            "candidatesTokenCount": sum(made.values()),
            "totalTokenCount": self.total,
            "promptTokensDetails": _tokens_by_modality(given),
            "candidatesTokensDetails": _tokens_by_modality(made),
            "thoughtsTokenCount": self.thoughts,
            "trafficType": "ON_DEMAND" if with_traffic else "",
        }
        return {name: count for name, count in counts.items() if count}


def _tokens_by_modality(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [{"modality": kind, "tokenCount": count} for kind, count in counts.items() if count]
