"""Reads fal's answers: output, billed units, log lines, durations, and the error that a run ended with. Pure."""

import base64
import json
from typing import Any

import httpx
from fal_client import FalClientHTTPError

from worker.errors import BrokenPieceError, ExternalServiceError, RequestRefusedError, ServiceUnavailableError
from worker.files.answer_files import file_of
from worker.providers.base import Reply, RunFailure
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


def outcome_of(response: httpx.Response) -> Reply | RunFailure:
    """What fal says of an ended run. Raises `ServiceUnavailableError` for an answer that is not about it."""
    billed = response.headers.get("x-fal-billable-units")
    units = units_of(billed)
    if response.status_code >= 400:
        is_free = not billed and response.status_code >= 500  # fal does not bill 5xx (docs.fal.ai, pricing)
        return RunFailure(run_error(response, json_of(response)), units, is_free=is_free)
    found, is_json = output_of(response)
    output = as_object(found)
    if not (is_json and has_files(found)) and not is_from_fal("GET", response):  # a proxy's page instead of the result
        raise ServiceUnavailableError("fal: the result cannot be read", provider="fal")
    if not has_files(found):
        error = BrokenPieceError("fal: the result is not a JSON object", provider="fal")
        return RunFailure(error, units, output=output)
    return Reply(output, units, inference_s=seconds_of(output.get("timings"), "inference"))


def output_of(response: httpx.Response) -> tuple[object, bool]:
    """A run's output, and whether it is JSON: otherwise its text, or as a data: URI what is no text."""
    try:
        return json.loads(response.content), True
    except (ValueError, RecursionError):
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":  # damaged
        return response.content.decode(errors="replace"), False
    if not content_type.startswith(("image/", "video/", "audio/")) and _is_text(response.content):
        return response.content.decode(), False
    encoded = base64.b64encode(response.content).decode()
    return f"data:{content_type or 'application/octet-stream'};base64,{encoded}", False


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_object(output: object) -> dict[str, Any]:
    """A run's output as an object. Anything else, such as a bare URL, a list or a text, is its `output`."""
    return output if isinstance(output, dict) else {"output": output}


def has_files(output: object) -> bool:
    """Whether a run's output can hold files: it is an object, a URL, or a list with files."""
    items = output if isinstance(output, list) else [output]
    return isinstance(output, dict) or any(file_of(item) for item in items)


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
