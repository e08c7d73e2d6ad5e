"""Google's calls on the wire: from path to verb, and the refusals on the way."""

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.body import BadBody, read_object
from twin.calls import Order
from twin.desk import Desk, new_id
from twin.google.access import account_of
from twin.google.address import Service, Target
from twin.google.asked import read_asked
from twin.google.errors import Refused, in_form, invalid
from twin.google.generate import generate
from twin.google.language import check_schema
from twin.google.models import RETIRED, GoogleModel, Kind, find_model
from twin.google.oauth import answer_token
from twin.google.predict import TryOnRequest, look_at_try_on, try_on
from twin.google.request import GenerateRequest, read_body
from twin.google.videos import FetchRequest, VideoRequest, film, look_at_frames, operation_of
from twin.misbehave import misbehave
from twin.script import Call, Provider

MAX_BODY = 128 * 1024 * 1024
NOTABLE = ("user-agent", "x-server-timeout", "x-goog-user-project", "x-goog-api-client")
KINDS_OF_VERB = {
    "generateContent": (Kind.IMAGE, Kind.TEXT),
    "predict": (Kind.TRY_ON,),
    "predictLongRunning": (Kind.VIDEO,),
    "fetchPredictOperation": (Kind.VIDEO,),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One call with everything that is known before its body is understood."""

    desk: Desk
    request: Request
    target: Target
    model: GoogleModel
    account: str
    body: dict[str, Any]

    def order(self, request_id: str, seed: int | None) -> Order:
        """Return it as an order under the id that the caller named."""
        headers = {name: self.request.headers[name] for name in NOTABLE if name in self.request.headers}
        return Order(Provider.GOOGLE, self.target.model, request_id, self.account, self.body, headers, seed)


async def answer_google(desk: Desk, request: Request, target: Target) -> Response:
    """Answer one call to Google."""
    if target.service is Service.OAUTH:
        return await answer_token(desk, request)
    if target.verb not in KINDS_OF_VERB:
        return Response(f"Not Found: {target.path[:200]}", 404, media_type="text/plain")
    if request.method != "POST":
        return Response("Method Not Allowed", 405, media_type="text/plain")
    try:
        account = account_of(request, target)
        model = _model(target)
        visit = Visit(desk, request, target, model, account, await read_object(request, MAX_BODY))
        return await VERBS[target.verb](visit)
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


async def _generate(visit: Visit) -> Response:
    asked = await read_asked(visit.desk, visit.target, visit.model, read_body(GenerateRequest, visit.body))
    check_schema(asked)
    order = visit.order(new_id("twin-"), asked.body.generation_config.seed)
    kind = visit.model.kind.value
    return await visit.desk.serve(visit.request, order, kind, lambda call: generate(visit.desk, asked, call), in_form)


async def _predict(visit: Visit) -> Response:
    desk, model, asked = visit.desk, visit.model, read_body(TryOnRequest, visit.body)
    seen = await look_at_try_on(desk, asked)
    order = visit.order(new_id("twin-"), asked.parameters.seed)
    kind = model.kind.value
    return await desk.serve(visit.request, order, kind, lambda call: try_on(desk, model, asked, seen, call), in_form)


async def _start(visit: Visit) -> Response:
    desk, model, asked = visit.desk, visit.model, read_body(VideoRequest, visit.body)
    frames = await look_at_frames(desk, asked)
    fault = desk.script.take(Call.SUBMIT, visit.target.model, provider=Provider.GOOGLE)
    if fault and not fault.takes_job:
        return await misbehave(in_form(fault), Response(), visit.request)
    name = f"{visit.target.parent}/operations/{uuid.uuid4()}"
    call = desk.accept(visit.order(name, asked.parameters.seed), model.kind.value)
    ends_at = None if call.is_stuck else call.accepted_at + call.seconds
    desk.book.end(call, film(desk, model, asked, frames, call), ends_at)
    return await misbehave(in_form(fault), JSONResponse({"name": name}), visit.request)


async def _fetch(visit: Visit) -> Response:
    name = read_body(FetchRequest, visit.body).operation_name
    fault = visit.desk.script.take(Call.STATUS, visit.target.model, provider=Provider.GOOGLE)
    operation = await operation_of(visit.desk, visit.desk.book.find(name), name)
    return await misbehave(in_form(fault), JSONResponse(operation), visit.request)


VERBS = {
    "generateContent": _generate,
    "predict": _predict,
    "predictLongRunning": _start,
    "fetchPredictOperation": _fetch,
}
