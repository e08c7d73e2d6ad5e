"""Anthropic's error bodies, and the request id in each of them."""

from typing import Any

from starlette.responses import JSONResponse

from twin.paid_calls import Answer
from twin.script import Fault, FaultKind

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MESSAGES = {
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    529: "Overloaded",
}


class Refused(Exception):
    """The call is refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

    def response(self, request_id: str) -> JSONResponse:
        """Anthropic's answer."""
        body = error_body(self.status, request_id, self.message)
        return JSONResponse(body, self.status, headers={"request-id": request_id})


def error_body(status: int, request_id: str, message: str | None = None) -> dict[str, Any]:
    """Return the body of an error."""
    kind = TYPES.get(status, "api_error")
    text = message or MESSAGES.get(status, "Ordered by the script")
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": request_id}


def with_error_body(fault: Fault | None, request_id: str) -> Fault | None:
    """Return the fault with Anthropic's body if it has only a status; `seconds` becomes `retry-after`."""
    if fault is None or fault.what is not FaultKind.HTTP:
        return fault
    wait = {} if fault.seconds is None else {"retry-after": f"{fault.seconds:g}"}
    body = error_body(fault.response_status, request_id) if fault.body is None else fault.body
    return fault.model_copy(update={"body": body, "headers": {"request-id": request_id} | wait | fault.headers})


def scripted_error(fault: Fault, request_id: str) -> Answer:
    """Return the answer of a run that fails because of the script."""
    status = fault.response_status
    body = error_body(status, request_id) if fault.body is None else fault.body
    return Answer(body, body, status, TYPES.get(status, "api_error"), headers={"request-id": request_id})
