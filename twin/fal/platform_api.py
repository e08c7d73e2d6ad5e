"""fal's platform API, of which the twin has one call: the list of an account's ended requests.

As described at https://docs.fal.ai/platform-apis/v1/models/requests/by-endpoint.
"""

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.fal.access import Denied, account_of
from twin.fal.address import Address
from twin.fal.request_list import RequestList, read_query
from twin.fal.service import FalService
from twin.fault_responses import apply_fault
from twin.script import Call, Fault, FaultKind

LIST = "v1/models/requests/by-endpoint"
TYPE_OF_STATUS = {
    401: "authorization_error",
    403: "authorization_error",
    404: "not_found",
    429: "rate_limited",
    501: "not_implemented",
}


async def answer_platform(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the platform API's host."""
    if request.method != "GET" or address.path.strip("/") != LIST:
        return platform_error(404, f"{request.method} /{address.path} is not an endpoint of this API")
    try:
        account = _account(request)
        query = read_query(request.query_params)
    except Denied as denied:
        return platform_error(denied.status, denied.detail)
    except ValidationError as error:
        return platform_error(400, _describe(error))
    fault = fal.script.take(Call.LIST, *query.endpoint_id)
    jobs = [job for job in fal.scheduler.jobs() if job.submission.account == account]
    page = RequestList(jobs, fal.stored_inputs, fal.pace.list_lag_s).page(query, fal.clock())
    return await apply_fault(_with_error_body(fault), JSONResponse(page), request)


def platform_error(status: int, message: str) -> Response:
    """Return an error in the form of the platform API, which differs from that of the models."""
    return JSONResponse(_error(status, message), status)


def _error(status: int, message: str) -> dict[str, dict[str, str]]:
    default = "server_error" if status >= 500 else "validation_error"
    return {"error": {"type": TYPE_OF_STATUS.get(status, default), "message": message}}


def _account(request: Request) -> str:
    """Return the caller's account; user tokens, which models accept, are refused here."""
    account = account_of(request.headers, LIST, is_paid=False)
    if request.headers["authorization"].partition(" ")[0].lower() != "key":
        raise Denied(401, 'The API key must be prefixed with "Key "')
    return account


def _describe(error: ValidationError) -> str:
    return "; ".join(f"{entry['loc'][0] if entry['loc'] else 'query'}: {entry['msg']}" for entry in error.errors())


def _with_error_body(fault: Fault | None) -> Fault | None:
    """Return the fault with an error body of this API, unless the script gives a body."""
    if fault is None or fault.what is not FaultKind.HTTP or fault.body is not None:
        return fault
    return fault.model_copy(update={"body": _error(fault.response_status, "Ordered by the script")})
