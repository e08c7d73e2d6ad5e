"""Shortens inputs for the records in memory: long texts and long lists are cut."""

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 2_000


def shorten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input with texts cut to 2,000 characters and lists to 1,000 entries."""
    return {name: _short(value) for name, value in values.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}… ({len(value)} characters)"
    if isinstance(value, list):
        return [_short(entry) for entry in value[:1_000]]
    if isinstance(value, dict):
        return {key: _short(entry) for key, entry in value.items()}
    return value
