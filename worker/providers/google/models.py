"""What a model of Google's makes, told by its id: Google's ids name it, and each kind is asked for in its own way."""

from enum import Enum


class Makes(Enum):
    """The kinds of call."""

    PICTURE = "picture"
    TRY_ON = "try_on"
    VIDEO = "video"
    WORDS = "words"


def made_by(endpoint: str) -> Makes:
    """`gemini-3-pro-image` and `gemini-nano-banana-2.1` draw, `veo-…` films; what says nothing of the kind writes."""
    if endpoint.startswith("virtual-try-on"):
        return Makes.TRY_ON
    if endpoint.startswith("veo-"):
        return Makes.VIDEO
    return Makes.PICTURE if "-image" in endpoint or "nano-banana" in endpoint else Makes.WORDS
