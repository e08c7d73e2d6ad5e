"""Escapes control signs, for logs and for the screen.

Text of strangers (a webhook's URL, a provider's words, a prompt) may hold signs that a terminal obeys: they move the
cursor, change the title, forge a line, or show text in another order than it has (bidirectional overrides). The escape
is the one of JSON, so that JSON stays valid.
"""

import re

# C0 without tab and line break, DEL, C1; line and paragraph separators; marks that change the direction of text.
_SIGNS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_SIGNS = re.compile(f"[\t\n]|{_SIGNS.pattern}")


def escape_control(text: str) -> str:
    """The text with `\\u001b` instead of an escape sign, and so on. Tabs and line breaks stay."""
    return _SIGNS.sub(_escaped, text)


def escape_line(text: str) -> str:
    """The same for text that must stay on its line: tabs and line breaks are escaped, too."""
    return _LINE_SIGNS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
