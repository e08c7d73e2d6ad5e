"""fal's error bodies, one function for each kind."""

from collections.abc import Mapping
from typing import Any

from twin.fal.job import Outcome
from twin.fal.validate import FAL_CATALOGUE, Loc, Problem


class Refused(Exception):
    """The model refuses this input; carries the `detail` list of the 422."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*(entry["msg"] for entry in problems))
        self.problems = list(problems)


def model_problem(loc: Loc, kind: str, msg: str, value: Any, ctx: Mapping[str, Any] | None = None) -> Problem:
    """Return one entry of `detail` with a type from fal's own error catalogue."""
    entry: Problem = {"loc": list(loc), "msg": msg, "type": kind, "url": FAL_CATALOGUE + kind, "input": value}
    return entry | ({"ctx": dict(ctx)} if ctx else {})


def refused(problems: list[Problem]) -> Outcome:
    """Return the outcome of a run whose input was refused."""
    return Outcome(422, {"detail": problems}, {"x-fal-retryable": "false"})


def infrastructure_error(
    status: int, error_type: str, detail: str, headers: Mapping[str, str] | None = None
) -> Outcome:
    """Return the outcome of a run that failed because of fal's infrastructure."""
    body = {"detail": detail, "error_type": error_type}
    return Outcome(status, body, {"X-Fal-Error-Type": error_type, **(headers or {})})


def start_timeout() -> Outcome:
    """Return the outcome of a request that waited longer than `X-Fal-Request-Timeout`."""
    return infrastructure_error(504, "request_timeout", "Request timed out", {"X-Fal-Request-Timeout-Type": "user"})


def cancelled() -> Outcome:
    """Return the outcome of a request that its owner cancelled."""
    return infrastructure_error(499, "client_cancelled", "Request was cancelled by the client")


def internal_error(detail: str) -> Outcome:
    """Return the outcome of a run that failed because of an error in the twin."""
    return infrastructure_error(500, "internal_error", detail)
