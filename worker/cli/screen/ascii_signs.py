"""Output for terminals whose encoding has no `✓`: LANG=C, PYTHONIOENCODING=ascii, latin-1."""

import codecs
import io
import sys

ERRORS = "kilnhand_ascii_signs"
SIGNS = {"✓": "+", "✗": "x", "–": "-", "→": "->", "…": "...", "×": "x", "│": "|", "•": "*", "“": '"', "”": '"'}


def replace_missing_signs() -> None:
    """From now on stdout and stderr print every text: a sign that the encoding lacks is replaced or escaped."""
    codecs.register_error(ERRORS, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in text), error.end
