"""What a model of Google's makes, told by its id: Google's ids name it, and each kind is asked for in its own way."""

from enum import Enum


class ModelKind(Enum):
    """The kinds of call."""

    PICTURE = "picture"
    TRY_ON = "try_on"
    VIDEO = "video"
    TEXT = "text"


def kind_of(endpoint: str) -> ModelKind:
    """`gemini-3-pro-image` and `gemini-nano-banana-2.1` draw, `veo-…` films; what says nothing of the kind writes."""
    if endpoint.startswith("virtual-try-on"):
        return ModelKind.TRY_ON
    if endpoint.startswith("veo-"):
        return ModelKind.VIDEO
    return ModelKind.PICTURE if "-image" in endpoint or "nano-banana" in endpoint else ModelKind.TEXT
