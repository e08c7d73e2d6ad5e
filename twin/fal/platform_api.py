"""fal's platform API: the list of an account's ended requests, its billing events, and the calls of `price_calls`.

As described at https://docs.fal.ai/platform-apis/v1/models/requests/by-endpoint and /v1/models/billing-events. Which
permissions a key needs is from fal's pages on keys and MCP; the words of the refusals are an assumption.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.fal import billing_events
from twin.fal.access import Denied, account_of
from twin.fal.address import Address
from twin.fal.billing_events import Source
from twin.fal.price_calls import UnknownEndpoint, account_billing, estimate, models_page, prices_page
from twin.fal.request_list import RequestList, read_query
from twin.fal.service import FalService
from twin.fault_responses import apply_fault
from twin.script import Call, Fault, FaultKind

LIST = "v1/models/requests/by-endpoint"
BILLING = "v1/models/billing-events"
MODELS, PRICING, ESTIMATE = "v1/models", "v1/models/pricing", "v1/models/pricing/estimate"
ACCOUNT = "v1/account/billing"
TYPE_OF_STATUS = {
    401: "authorization_error",
    403: "authorization_error",
    404: "not_found",
    429: "rate_limited",
    501: "not_implemented",
}


async def answer_platform(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the platform API's host."""
    path = address.path.strip("/")
    handler = HANDLERS.get(path) if request.method == METHOD.get(path, "GET") else None
    if handler is None:
        return platform_error(404, f"{request.method} /{address.path} is not an endpoint of this API")
    try:
        is_open = path == MODELS and "authorization" not in request.headers
        return await handler(fal, request, "" if is_open else _account(request, path))
    except Denied as denied:
        return platform_error(denied.status, denied.detail)
    except UnknownEndpoint as error:
        return platform_error(404, str(error))
    except ValidationError as error:
        return platform_error(400, _describe(error))


def platform_error(status: int, message: str) -> Response:
    """Return an error in the form of the platform API, which differs from that of the models."""
    return JSONResponse(_error(status, message), status)


async def _list(fal: FalService, request: Request, account: str) -> Response:
    query = read_query(request.query_params)
    if not fal.platform.list_allowed:
        raise Denied(403, "This API key lacks the permission models:requests:read")
    fault = fal.script.take(Call.LIST, *query.endpoint_id)
    jobs = [job for job in fal.scheduler.jobs() if job.submission.account == account]
    page = RequestList(jobs, fal.stored_inputs, fal.pace.list_lag_s, fal.platform).page(query, fal.clock())
    return await apply_fault(_with_error_body(fault), JSONResponse(page), request)


async def _billing(fal: FalService, request: Request, account: str) -> Response:
    query, settings = billing_events.read_query(request.query_params), fal.platform
    if not settings.billing_allowed:
        raise Denied(403, "This API key lacks the permission billing:usage:read")
    is_tagged = query.source is Source.TAGGED
    if is_tagged and not settings.tagged_reporting:
        raise Denied(403, "Tagged reporting is not enabled for this account")
    lag_s = fal.pace.tagged_lag_s if is_tagged else fal.pace.billing_lag_s
    try:
        page = fal.billing_events.page(query, account, fal.clock(), lag_s, settings.tag_keys)
    except ValueError as error:
        return platform_error(400, str(error))
    fault = fal.script.take(Call.BILLING, *query.endpoint_id)
    return await apply_fault(_with_error_body(fault), JSONResponse(page), request)


async def _models(fal: FalService, request: Request, account: str) -> Response:
    return await _answer(fal, request, models_page(fal, request.query_params))


async def _prices(fal: FalService, request: Request, account: str) -> Response:
    return await _answer(fal, request, prices_page(fal, request.query_params))


async def _estimate(fal: FalService, request: Request, account: str) -> Response:
    try:
        body = await request.json()
    except ValueError:
        body = None
    return await _answer(fal, request, estimate(fal, body))


async def _credits(fal: FalService, request: Request, account: str) -> Response:
    expand = [part for value in request.query_params.getlist("expand") for part in value.split(",")]
    return await _answer(fal, request, account_billing(fal, account, expand))


async def _answer(fal: FalService, request: Request, body: dict[str, Any]) -> Response:
    fault = fal.script.take(Call.PLATFORM, *request.query_params.getlist("endpoint_id"))
    return await apply_fault(_with_error_body(fault), JSONResponse(body), request)


HANDLERS: dict[str, Callable[[FalService, Request, str], Awaitable[Response]]] = {
    LIST: _list,
    BILLING: _billing,
    MODELS: _models,
    PRICING: _prices,
    ESTIMATE: _estimate,
    ACCOUNT: _credits,
}
METHOD = {ESTIMATE: "POST"}


def _error(status: int, message: str) -> dict[str, dict[str, str]]:
    default = "server_error" if status >= 500 else "validation_error"
    return {"error": {"type": TYPE_OF_STATUS.get(status, default), "message": message}}


def _account(request: Request, path: str) -> str:
    """Return the caller's account; user tokens, which models accept, are refused here."""
    account = account_of(request.headers, path, is_paid=False)
    if request.headers["authorization"].partition(" ")[0].lower() != "key":
        raise Denied(401, 'The API key must be prefixed with "Key "')
    return account


def _describe(error: ValidationError) -> str:
    entries: list[Any] = error.errors()
    return "; ".join(f"{entry['loc'][0] if entry['loc'] else 'query'}: {entry['msg']}" for entry in entries)


def _with_error_body(fault: Fault | None) -> Fault | None:
    """Return the fault with an error body of this API, unless the script gives a body."""
    if fault is None or fault.what is not FaultKind.HTTP or fault.body is not None:
        return fault
    return fault.model_copy(update={"body": _error(fault.response_status, "Ordered by the script")})
