"""What a language model says here: sentences about the pictures that it really looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from twin.sight import Seen

MAX_QUOTED = 160


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer may speak of."""

    pictures: tuple[Seen, ...]
    prompt: str

    @property
    def caption(self) -> str:
        """Name each picture in its order by colour, size and digest; without pictures, quote the prompt."""
        if not self.pictures:
            quoted = " ".join(self.prompt.split())[:MAX_QUOTED]
            return f"You asked: {quoted}" if quoted else "You asked nothing."
        return " ".join(f"Picture {number}: {picture}." for number, picture in enumerate(self.pictures, 1))

    @property
    def colours(self) -> tuple[str, ...]:
        """The colour of each picture, in order."""
        return tuple(picture.colour for picture in self.pictures)


def tokens_of(text: str) -> int:
    """Return about how many tokens a text has."""
    return max(1, len(text) // 4) if text else 0


def cut_to(text: str, tokens: int) -> str:
    """Return so much of a text as these tokens hold."""
    return text[: max(0, tokens) * 4]


def facts_of(pictures: Sequence[Seen], texts: Sequence[str]) -> Facts:
    """Return what was shown and said."""
    return Facts(tuple(pictures), "\n".join(texts))
