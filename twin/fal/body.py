"""Reading a model's input from a request."""

import json
from typing import Any

from starlette.requests import Request

from twin.fal.errors import Refused
from twin.fal.validate import problem

MAX_BODY = 32 * 1024 * 1024
MAX_DEPTH = 100


async def read_input(request: Request) -> Any:
    """Return the JSON body, `{}` when there is none; raise Refused when it cannot be read."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Refused(problem(("body",), "too_long", f"The body is larger than {MAX_BODY} bytes", None))
    try:
        value = json.loads(bytes(data)) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Refused(problem(("body",), "json_invalid", "JSON decode error", {}, {"error": str(error)})) from error
    if _is_deeper_than(value, MAX_DEPTH):
        raise Refused(problem(("body",), "recursion_limit", f"JSON is nested deeper than {MAX_DEPTH} levels", {}))
    return value


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
