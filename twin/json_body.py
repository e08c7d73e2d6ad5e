"""Reads a JSON object from a request, for all imitations. Each imitation writes its own answer to a bad body."""

import json
import math
from enum import StrEnum
from typing import Any

from starlette.requests import Request

MAX_BODY = 32 * 1024 * 1024
MAX_DEPTH = 100


class BodyProblem(StrEnum):
    """What can be wrong with a body; the value is the error type that fal uses."""

    TOO_LONG = "too_long"
    NOT_JSON = "json_invalid"
    TOO_DEEP = "recursion_limit"
    NOT_AN_OBJECT = "not_an_object"


class BadBody(ValueError):
    """The body is not a JSON object within the limits; carries the problem and, if it was parsed, the value."""

    def __init__(self, problem: BodyProblem, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.problem, self.value = problem, value


async def read_object(request: Request, max_bytes: int = MAX_BODY) -> dict[str, Any]:
    """Return the JSON object of the body, `{}` for an empty body; raise BadBody."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise BadBody(BodyProblem.TOO_LONG, f"The body is larger than {max_bytes} bytes")
    try:
        value = _parse(bytes(data)) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadBody(BodyProblem.NOT_JSON, str(error)) from error
    if _is_deeper_than(value, MAX_DEPTH):
        raise BadBody(BodyProblem.TOO_DEEP, f"JSON is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        raise BadBody(BodyProblem.NOT_AN_OBJECT, "The body is no JSON object", value)
    return value


def _parse(data: bytes) -> Any:
    """Parse JSON that can be encoded again; raise ValueError for NaN, infinity and lone surrogates."""
    value = json.loads(data, parse_constant=_finite, parse_float=_finite)
    if b"\\u" in data:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a JSON number")
    return number


def _is_deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    while level and depth:
        level = [child for entry in level for child in _children(entry)]
        depth -= 1
    return bool(level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
