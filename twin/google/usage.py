"""Tokens of a generateContent call, as they are told and as they are billed."""

from dataclasses import dataclass, replace
from typing import Any

from twin.caption import tokens_of
from twin.google.asked import Asked
from twin.google.models import GoogleModel, Kind

PICTURE_TOKENS = {
    "MEDIA_RESOLUTION_LOW": 280,
    "MEDIA_RESOLUTION_MEDIUM": 560,
    "MEDIA_RESOLUTION_HIGH": 1120,
}
OF_IMAGE_MODELS = 560
"""0.0011 dollars at 2 for a million."""
USUAL_THOUGHTS = {Kind.IMAGE: 240, Kind.TEXT: 120}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, in tokens."""

    model: GoogleModel
    size: str
    text_in: int
    pictures_in: int
    thoughts: int = 0
    text_out: int = 0
    pictures_out: int = 0

    @classmethod
    def of(cls, asked: Asked) -> "Usage":
        """Return what the question alone used."""
        resolution = asked.body.generation_config.media_resolution or ""
        each = OF_IMAGE_MODELS if asked.model.kind is Kind.IMAGE else PICTURE_TOKENS.get(resolution, 1120)
        return cls(asked.model, asked.size, tokens_of(asked.facts.prompt), each * len(asked.facts.pictures))

    def thinking(self, tokens: int | None = None) -> "Usage":
        """Return this with the thoughts before an answer."""
        return replace(self, thoughts=USUAL_THOUGHTS[self.model.kind] if tokens is None else tokens)

    def with_text(self, text: str) -> "Usage":
        """Return this with words in the answer."""
        return replace(self, text_out=tokens_of(text))

    def with_picture(self) -> "Usage":
        """Return this with a picture in the answer."""
        return replace(self, pictures_out=self.model.sizes[self.size].tokens)

    @property
    def units(self) -> float:
        """What is counted: pictures of an image model, tokens of any other."""
        if self.model.kind is Kind.IMAGE:
            return 1.0 if self.pictures_out else 0.0
        return float(self.total)

    @property
    def total(self) -> int:
        """All tokens."""
        return self.text_in + self.pictures_in + self.thoughts + self.text_out + self.pictures_out

    @property
    def usd(self) -> float:
        """The price of all of it."""
        price = self.model.sizes[self.size].usd if self.pictures_out else 0.0
        tokens_in, tokens_out = self.text_in + self.pictures_in, self.thoughts + self.text_out
        return round(price + (tokens_in * self.model.usd_in + tokens_out * self.model.usd_out) / 1_000_000, 8)

    def metadata(self, *, with_traffic: bool) -> dict[str, Any]:
        """Return `usageMetadata`; what is zero is left out, as protobuf's JSON does."""
        given = {"TEXT": self.text_in, "IMAGE": self.pictures_in}
        made = {"TEXT": self.text_out, "IMAGE": self.pictures_out}
        counts = {
            "promptTokenCount": sum(given.values()),
            "candidatesTokenCount": sum(made.values()),
            "totalTokenCount": self.total,
            "promptTokensDetails": _details(given),
            "candidatesTokensDetails": _details(made),
            "thoughtsTokenCount": self.thoughts,
            "trafficType": "ON_DEMAND" if with_traffic else "",
        }
        return {name: count for name, count in counts.items() if count}


def _details(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [{"modality": kind, "tokenCount": count} for kind, count in counts.items() if count]
