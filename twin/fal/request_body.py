"""Reads a model's input from a request, with fal's error messages for a bad body."""

from typing import Any

from starlette.requests import Request

from twin.fal.errors import Refused
from twin.fal.validate import Problem, not_an_object, problem
from twin.json_body import BadBody, BodyProblem, read_object


async def read_input(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body, `{}` for an empty body; raise Refused."""
    try:
        return await read_object(request)
    except BadBody as bad:
        raise Refused(_problem(bad)) from bad


def _problem(bad: BadBody) -> Problem:
    match bad.problem:
        case BodyProblem.NOT_AN_OBJECT:
            return not_an_object(("body",), bad.value)
        case BodyProblem.NOT_JSON:
            return problem(("body",), bad.problem, "JSON decode error", {}, {"error": str(bad)})
        case BodyProblem.TOO_LONG:
            return problem(("body",), bad.problem, str(bad), None)
        case BodyProblem.TOO_DEEP:
            return problem(("body",), bad.problem, str(bad), {})
