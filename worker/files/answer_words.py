"""What a provider's answer says in place of its files: some models answer 200 with an `error` inside. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

WORDS = ("error", "errors", "detail", "message", "msg", "reason")  # the fields that hold them
_LONGEST = 300
_LEVELS = 4
_CONTENT = re.compile(
    r"nsfw|content[_ ](policy|filter|moderation)|safety (filter|checker|system)|moderat", re.IGNORECASE
)


def words_of(answer: Mapping[str, Any]) -> str:
    """The words, in one short line; empty if there are none."""
    return " ".join(" ".join(dict.fromkeys(_texts(answer, _LEVELS))).split())[:_LONGEST]


def is_about_content(answer: Mapping[str, Any]) -> bool:
    """Whether the words say that a content filter has refused it."""
    return bool(_CONTENT.search(words_of(answer)))


def short_words(value: Any, levels: int = _LEVELS) -> Any:
    """The value of such a field as a row keeps it; None if it has no words."""
    text = " ".join(" ".join(_leaves(value, levels)).split())[:_LONGEST]
    return text or None


def _texts(node: Any, levels: int) -> Iterator[str]:
    """The words in this object's fields, or in objects below it."""
    if not isinstance(node, Mapping) or not levels:
        return
    for name, value in node.items():
        if name in WORDS:
            yield from _leaves(value, levels)
        else:
            yield from _texts(value, levels - 1)


def _leaves(value: Any, levels: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif levels and isinstance(value, Mapping):
        for name in (*WORDS, "type"):
            yield from _leaves(value.get(name), levels - 1)
    elif levels and isinstance(value, list):
        for item in value[:8]:
            yield from _leaves(item, levels - 1)
