"""The kind of a Google model, read from its id. Each kind has its own form of request."""

from enum import Enum


class ModelKind(Enum):
    """What a model makes."""

    PICTURE = "picture"
    TRY_ON = "try_on"
    VIDEO = "video"
    TEXT = "text"


def kind_of(endpoint: str) -> ModelKind:
    """`gemini-3-pro-image` and `gemini-nano-banana-2.1` make pictures, `veo-…` videos; any other model makes text."""
    if endpoint.startswith("virtual-try-on"):
        return ModelKind.TRY_ON
    if endpoint.startswith("veo-"):
        return ModelKind.VIDEO
    return ModelKind.PICTURE if "-image" in endpoint or "nano-banana" in endpoint else ModelKind.TEXT
