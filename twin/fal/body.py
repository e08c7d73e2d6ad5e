"""Reading a model's input from a request."""

import json
import math
from typing import Any

from starlette.requests import Request

from twin.fal.errors import Refused
from twin.fal.validate import not_an_object, problem

MAX_BODY = 32 * 1024 * 1024
MAX_DEPTH = 100


async def read_input(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body, `{}` when there is none; raise Refused when it cannot be read."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Refused(problem(("body",), "too_long", f"The body is larger than {MAX_BODY} bytes", None))
    try:
        value = _parse(bytes(data)) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Refused(problem(("body",), "json_invalid", "JSON decode error", {}, {"error": str(error)})) from error
    if _is_deeper_than(value, MAX_DEPTH):
        raise Refused(problem(("body",), "recursion_limit", f"JSON is nested deeper than {MAX_DEPTH} levels", {}))
    if not isinstance(value, dict):
        raise Refused(not_an_object(("body",), value))
    return value


def _parse(data: bytes) -> Any:
    """Parse JSON that can be written again: no NaN, no infinity, no half characters."""
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
