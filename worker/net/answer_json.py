"""Makes odd JSON harmless, so that a paid answer is never lost because of it. Pure.

JSON can say what a row, Celery's result or Redis cannot hold: half a surrogate pair, NaN, a number that is too large,
or so many levels that nothing writes it again (pydantic stops at about 255). Each becomes what is nearest: a question
mark, null, or null below `MOST_LEVELS`.

The number of values has a limit, too: 4 MB of `[],[],` take five seconds and 100 MB when they are parsed.
"""

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MOST_LEVELS = 64
MOST_VALUES = 200_000  # of an answer: the timed words of several hours of speech
_LONGEST_INT = 40  # digits
# Half a surrogate pair, a constant that is no JSON, a number that may be infinite or too long.
_ODD = re.compile(rb"\\u[dD][89a-fA-F]|NaN|Infinity|[eE]\+?\d{3}|\d{41}")


class AnswerTooLargeError(Exception):
    """An answer has more bytes or values than it may have. `headers` are its own, where a guard has added them."""

    headers: Mapping[str, str] = MappingProxyType({})


def clean_json(body: bytes) -> bytes:
    """The same JSON, or harmless JSON in its place. A body that is no JSON is returned unchanged.

    Raises `AnswerTooLargeError` for too many values. Blocking for up to half a second.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        raise AnswerTooLargeError(f"an answer of more than {MOST_VALUES} values")
    if not _ODD.search(body) and body.count(b"[") + body.count(b"{") <= MOST_LEVELS:
        return body
    try:
        return json.dumps(read_json(body), ensure_ascii=False).encode()
    except ValueError:
        return body


def read_json(body: bytes | str) -> Any:
    """The value. Raises `ValueError` for what is no JSON, or has too many levels to be read at all."""
    try:
        return cleaned(json.loads(body, parse_constant=_nothing, parse_float=_float, parse_int=_int))
    except RecursionError as error:
        raise ValueError("too many levels") from error


def cleaned(value: Any, levels: int = MOST_LEVELS) -> Any:
    """A parsed value without half surrogate pairs, infinite numbers, and levels below the most."""
    match value:
        case str():
            return clean_text(value)
        case float() if not math.isfinite(value):
            return None
        case dict() | list() if levels <= 0:
            return None
        case dict():
            return {clean_text(str(name)): cleaned(each, levels - 1) for name, each in value.items()}
        case list():
            return [cleaned(each, levels - 1) for each in value]
    return value


def clean_text(text: str) -> str:
    """The text with a question mark in place of half a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _nothing(_: str) -> None:
    return None


def _float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _int(text: str) -> int | None:
    return int(text) if len(text) <= _LONGEST_INT else None
