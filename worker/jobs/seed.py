"""The seed in a provider's answer, however the answer writes it. Pure."""

from collections.abc import Mapping
from typing import Any

_MOST_DIGITS = 20  # of a seed of 64 bits


def seed_in(answer: Mapping[str, Any]) -> int | None:
    """The seed as a number: some models write it as a float (7.0) or as text ("7"). None for anything else."""
    match answer.get("seed"):
        case bool():
            return None
        case int(seed):
            return seed
        case float(seed) if seed.is_integer():
            return int(seed)
        case str(text) if text.strip().isdecimal() and len(text.strip()) <= _MOST_DIGITS:
            return int(text)
    return None
