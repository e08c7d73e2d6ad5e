"""Answers Google's calls: checks path, method, account and model, then calls the handler of the verb."""

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.call_service import CallService, new_id
from twin.fault_responses import apply_fault
from twin.google.access import account_of
from twin.google.address import Service, Target
from twin.google.checked_request import check_generate_request
from twin.google.errors import Refused, invalid, with_error_body
from twin.google.generate import generate
from twin.google.language import check_schema
from twin.google.models import RETIRED, GoogleModel, Kind, find_model
from twin.google.oauth import answer_token
from twin.google.request import GenerateRequest, read_body
from twin.google.try_on import TryOnRequest, make_try_on, read_try_on_pictures
from twin.google.videos import FetchRequest, VideoRequest, make_video, read_frames, read_operation
from twin.json_body import BadBody, read_object
from twin.paid_calls import Answer, CallDetails, PaidCall
from twin.script import Call, Provider

MAX_BODY = 128 * 1024 * 1024
RECORDED_HEADERS = ("user-agent", "x-server-timeout", "x-goog-user-project", "x-goog-api-client")
KINDS_OF_VERB = {
    "generateContent": (Kind.IMAGE, Kind.TEXT),
    "predict": (Kind.TRY_ON,),
    "predictLongRunning": (Kind.VIDEO,),
    "fetchPredictOperation": (Kind.VIDEO,),
}


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call whose path and account are checked, with its parsed JSON body."""

    service: CallService
    request: Request
    target: Target
    model: GoogleModel
    account: str
    body: dict[str, Any]

    def details(self, request_id: str, seed: int | None) -> CallDetails:
        """Return the details that are stored for this call under an id."""
        headers = {name: self.request.headers[name] for name in RECORDED_HEADERS if name in self.request.headers}
        return CallDetails(Provider.GOOGLE, self.target.model, request_id, self.account, self.body, headers, seed)


async def answer_google(service: CallService, request: Request, target: Target) -> Response:
    """Answer one call to Google."""
    if target.service is Service.OAUTH:
        return await answer_token(service, request)
    if target.verb not in KINDS_OF_VERB:
        return Response(f"Not Found: {target.path[:200]}", 404, media_type="text/plain")
    if request.method != "POST":
        return Response("Method Not Allowed", 405, media_type="text/plain")
    try:
        account = account_of(request, target)
        model = _model(target)
        incoming = IncomingCall(service, request, target, model, account, await read_object(request, MAX_BODY))
        return await VERBS[target.verb](incoming)
    except Refused as refused:
        return refused.response
    except BadBody as bad:
        return invalid(f"Invalid JSON payload received. {bad}").response


def _model(target: Target) -> GoogleModel:
    model, kinds = find_model(target.model, target.location), KINDS_OF_VERB[target.verb]
    if target.service is Service.GEMINI and (model is None or Kind.VIDEO in kinds or model.kind not in kinds):
        message = f"models/{target.model} is not found for API version {target.version}, or is not supported for"
        raise Refused(404, f"{message} {target.verb}. Call ListModels to see the list of available models.")
    if model is None:
        gone = " It is retired." if target.model in RETIRED else ""
        message = f"Publisher Model `{target.parent}` was not found or your project does not have access to it."
        raise Refused(404, f"{message}{gone} Please ensure you are using a valid model version.")
    if model.kind not in kinds:
        raise invalid(f"{target.model} is not supported by {target.verb}.")
    return model


async def _generate(incoming: IncomingCall) -> Response:
    service, model = incoming.service, incoming.model
    body = read_body(GenerateRequest, incoming.body)
    checked = await check_generate_request(service, incoming.target, model, body)
    check_schema(checked)

    async def make(call: PaidCall) -> Answer:
        return await generate(service, checked, call)

    details = incoming.details(new_id("twin-"), body.generation_config.seed)
    return await service.serve(incoming.request, details, model.kind.value, make, with_error_body)


async def _try_on(incoming: IncomingCall) -> Response:
    service, model, body = incoming.service, incoming.model, read_body(TryOnRequest, incoming.body)
    pictures = await read_try_on_pictures(service, body)

    async def make(call: PaidCall) -> Answer:
        return await make_try_on(service, model, body, pictures, call)

    details = incoming.details(new_id("twin-"), body.parameters.seed)
    return await service.serve(incoming.request, details, model.kind.value, make, with_error_body)


async def _start_video(incoming: IncomingCall) -> Response:
    service, model, body = incoming.service, incoming.model, read_body(VideoRequest, incoming.body)
    frames = await read_frames(service, body)
    fault = service.script.take(Call.SUBMIT, incoming.target.model, provider=Provider.GOOGLE)
    if fault and not fault.accepts_job:
        return await apply_fault(with_error_body(fault), Response(), incoming.request)
    name = f"{incoming.target.parent}/operations/{uuid.uuid4()}"
    call = service.accept(incoming.details(name, body.parameters.seed), model.kind.value)
    ends_at = None if call.is_stuck else call.accepted_at + call.seconds
    service.call_store.end(call, make_video(service, model, body, frames, call), ends_at)
    return await apply_fault(with_error_body(fault), JSONResponse({"name": name}), incoming.request)


async def _fetch_operation(incoming: IncomingCall) -> Response:
    name = read_body(FetchRequest, incoming.body).operation_name
    fault = incoming.service.script.take(Call.STATUS, incoming.target.model, provider=Provider.GOOGLE)
    operation = await read_operation(incoming.service, incoming.service.call_store.find(name), name)
    return await apply_fault(with_error_body(fault), JSONResponse(operation), incoming.request)


VERBS = {
    "generateContent": _generate,
    "predict": _try_on,
    "predictLongRunning": _start_video,
    "fetchPredictOperation": _fetch_operation,
}
