"""A file in memory on its way to a provider."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Media:
    """A file that goes with a call, whole. Its type is what its bytes say."""

    data: bytes
    content_type: str
