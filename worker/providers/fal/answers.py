"""Reads fal's answers: output, billed units, log lines, durations, and the error that a run ended with. Pure."""

import json
from typing import Any

import httpx
from fal_client import FalClientHTTPError

from worker.errors import ExternalServiceError, RequestRefusedError, ServiceUnavailableError
from worker.files.answer_files import file_of
from worker.providers.fal.errors import fal_error
from worker.providers.fal.guard import is_from_fal

YEAR_S = 31_536_000  # no run takes longer
MOST_UNITS = 1e6  # no run is billed more megapixels, seconds or steps


def sdk_error(error: FalClientHTTPError) -> ExternalServiceError:
    """The error of an answer for which the SDK raised one."""
    return fal_error(error.status_code, json_of(error.response), error.response_headers)


def poll_error(error: FalClientHTTPError) -> ExternalServiceError:
    """The error of a failed poll. It says nothing about the run, unless fal does not know the request."""
    body = json_of(error.response)
    if error.status_code == 404 and _is_unknown(body):
        return _not_found()
    if error.status_code in {401, 403}:
        return sdk_error(error)
    return ServiceUnavailableError(f"fal: HTTP {error.status_code} to a poll", provider="fal", status=error.status_code)


def run_error(response: httpx.Response, body: object) -> ExternalServiceError:
    """The error that a run ended with. Raises an error where the answer is not about the run."""
    status = response.status_code
    if status == 404 and _is_unknown(body):
        return _not_found()
    if status in {401, 403}:
        raise fal_error(status, body, response.headers)
    if not is_from_fal("GET", response) or (status == 400 and "in progress" in response.text):
        raise ServiceUnavailableError(f"fal: HTTP {status} instead of the result", provider="fal", status=status)
    return fal_error(status, body, response.headers)


def _is_unknown(body: object) -> bool:
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _not_found() -> ExternalServiceError:
    return RequestRefusedError("fal: the request is not known any more", provider="fal", status=404, kind="not_found")


def json_of(response: httpx.Response) -> object:
    """The body, which the guard has made harmless; the beginning of its text if it is no JSON."""
    try:
        found: object = json.loads(response.content)
        return found
    except (ValueError, RecursionError):
        return response.text[:500]


def as_object(output: object) -> dict[str, Any] | None:
    """A run's output as an object: a bare URL, or a list with files, is its `output`. None if it holds no file."""
    if isinstance(output, dict):
        return output
    items = output if isinstance(output, list) else [output]
    return {"output": output} if any(file_of(item) for item in items) else None


def log_lines(logs: object) -> tuple[str, ...]:
    """The last 20 lines of a status, each cut to 500 characters."""
    lines = logs[-20:] if isinstance(logs, list) else []
    return tuple(str(line.get("message", ""))[:500] for line in lines if isinstance(line, dict))


def seconds_of(metrics: object, name: str) -> float | None:
    """A duration of these metrics in seconds; None for one that cannot be."""
    value = metrics.get(name) if isinstance(metrics, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < YEAR_S else None


def units_of(value: str | None) -> float | None:
    """The billed units; None for what cannot be a number of units. The cost then keeps its bounds."""
    try:
        units = float(value) if value else None
    except ValueError:
        return None
    return units if units is not None and 0 <= units < MOST_UNITS else None
