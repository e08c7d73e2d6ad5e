"""Google's error bodies: `google.rpc.Status` as JSON."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from twin.paid_calls import Answer
from twin.script import Fault, FaultKind

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
GRPC_CODE = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12, 503: 14, 504: 4}
MESSAGES = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "Resource exhausted. Please try again later.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}
TYPE = "type.googleapis.com/google.rpc."


class Refused(Exception):
    """The call is refused."""

    def __init__(self, code: int, message: str, *details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details

    @property
    def response(self) -> JSONResponse:
        """Google's answer."""
        return JSONResponse(error_body(self.code, self.message, *self.details), self.code)


def invalid(message: str, *details: Mapping[str, Any]) -> Refused:
    """Return the refusal of an invalid input."""
    return Refused(400, message, *details)


def error_body(code: int, message: str | None = None, *details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an error."""
    text = message or MESSAGES.get(code, "Ordered by the script")
    error: dict[str, Any] = {"code": code, "message": text, "status": STATUS.get(code, "UNKNOWN")}
    return {"error": error | ({"details": [*details]} if details else {})}


def retry_info(seconds: float) -> dict[str, Any]:
    """Return the detail that says how long the caller has to wait."""
    return {"@type": f"{TYPE}RetryInfo", "retryDelay": f"{seconds:g}s"}


def with_error_body(fault: Fault | None) -> Fault | None:
    """Return the fault with Google's error body if it has only a status; `seconds` becomes a RetryInfo."""
    if fault is None or fault.what is not FaultKind.HTTP or fault.body is not None:
        return fault
    details = [] if fault.seconds is None else [retry_info(fault.seconds)]
    return fault.model_copy(update={"body": error_body(fault.response_status, None, *details)})


def scripted_error(fault: Fault) -> Answer:
    """Return the answer of a run that fails because of the script."""
    body = error_body(fault.response_status) if fault.body is None else fault.body
    return Answer(body, body, fault.response_status, STATUS.get(fault.response_status, "UNKNOWN"))
