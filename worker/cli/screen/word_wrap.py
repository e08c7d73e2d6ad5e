"""Wraps text for a terminal between words. A word is never cut: a URL, an id or a password can be copied whole."""

import re
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

_WORDS = re.compile(r"\S+")


def wrap_words(text: Text, width: int) -> Text:
    """The text with line breaks, so that lines have at most `width` columns where no word is longer.

    A line that continues has the indent of its first line.
    """
    lines = (part for line in text.split("\n", allow_blank=True) for part in _wrapped(line, width))
    return Text("\n").join(lines)


def _wrapped(line: Text, width: int) -> list[Text]:
    plain = line.plain
    words = list(_WORDS.finditer(plain))
    if not words or cell_len(plain) <= width:
        return [line]
    indent = plain[: words[0].start()]
    parts, start = list[Text](), 0
    for before, word in pairwise(words):
        used = cell_len(plain[start : word.end()]) + (len(indent) if parts else 0)
        if used > width:
            parts.append(line[start : before.end()])
            start = word.start()
    parts.append(line[start:])
    return [parts[0], *(Text(indent) + part for part in parts[1:])]
