"""The text that imitated language models answer with: facts about the pictures of the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from twin.input_picture import InputPicture

MAX_QUOTED = 160


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """The pictures and texts of a prompt; every answer is made from these."""

    pictures: tuple[InputPicture, ...]
    prompt: str

    @property
    def caption(self) -> str:
        """Colour, size and digest of each picture, in order; without pictures, a quote of the prompt."""
        if not self.pictures:
            quoted = " ".join(self.prompt.split())[:MAX_QUOTED]
            return f"You asked: {quoted}" if quoted else "You asked nothing."
        return " ".join(f"Picture {number}: {picture}." for number, picture in enumerate(self.pictures, 1))

    @property
    def colours(self) -> tuple[str, ...]:
        """The colour of each picture, in order."""
        return tuple(picture.colour for picture in self.pictures)


def estimate_tokens(text: str) -> int:
    """Return an estimate: four characters are one token."""
    return max(1, len(text) // 4) if text else 0


def truncate_to_tokens(text: str, tokens: int) -> str:
    """Return the start of a text that fits into this number of tokens."""
    return text[: max(0, tokens) * 4]


def collect_facts(pictures: Sequence[InputPicture], texts: Sequence[str]) -> PromptFacts:
    """Return the facts of these pictures and texts."""
    return PromptFacts(tuple(pictures), "\n".join(texts))
