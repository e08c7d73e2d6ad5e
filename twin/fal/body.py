"""Reading a model's input from a request, with fal's words where it cannot be read."""

from typing import Any

from starlette.requests import Request

from twin.body import BadBody, Flaw, read_object
from twin.fal.errors import Refused
from twin.fal.validate import Problem, not_an_object, problem


async def read_input(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body, `{}` when there is none; raise Refused when it cannot be read."""
    try:
        return await read_object(request)
    except BadBody as bad:
        raise Refused(_problem(bad)) from bad


def _problem(bad: BadBody) -> Problem:
    match bad.flaw:
        case Flaw.NOT_AN_OBJECT:
            return not_an_object(("body",), bad.value)
        case Flaw.NOT_JSON:
            return problem(("body",), bad.flaw, "JSON decode error", {}, {"error": str(bad)})
        case Flaw.TOO_LONG:
            return problem(("body",), bad.flaw, str(bad), None)
        case Flaw.TOO_DEEP:
            return problem(("body",), bad.flaw, str(bad), {})
