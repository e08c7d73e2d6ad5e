"""fal's queue on the wire: submit, status, its stream, result, cancel.

As described at https://fal.ai/docs/documentation/model-apis/inference/queue.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from twin.fal.access import account_of
from twin.fal.address import Address, app_of
from twin.fal.body import read_input
from twin.fal.errors import Refused, refused
from twin.fal.job import Job, Outcome, Stage, Submission
from twin.fal.service import FalService
from twin.fal.status import status_body, status_events
from twin.files import Made
from twin.misbehave import misbehave
from twin.script import Call, What

KEPT_HEADERS = (
    "x-fal-queue-priority",
    "x-fal-runner-hint",
    "x-fal-tags",
    "x-fal-request-timeout",
    "x-fal-store-io",
    "x-fal-no-retry",
    "x-fal-object-lifecycle-preference",
    "x-app-fal-disable-fallback",
    "user-agent",
)
NOT_FOUND = {"status": "NOT_FOUND"}


async def answer_queue(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the queue's host."""
    endpoint, _, tail = address.path.strip("/").partition("/requests/")
    account = account_of(request.headers, endpoint, is_paid=not tail)
    if not tail:
        return await _submit(fal, request, address, endpoint, account)
    if endpoint != app_of(endpoint):
        return method_not_allowed()
    request_id, _, leaf = tail.partition("/")
    handler = HANDLERS.get((request.method, leaf))
    if handler is None:
        return method_not_allowed()
    job = fal.scheduler.find(request_id)
    if job is None or job.submission.app != endpoint:
        return JSONResponse(NOT_FOUND, 404)
    return await handler(fal, request, job)


def method_not_allowed() -> Response:
    """fal's answer to a path that exists for other methods only."""
    return JSONResponse({"detail": "Method Not Allowed"}, 405)


def app_not_found(endpoint: str) -> Response:
    """fal's answer for an app that is not there."""
    return JSONResponse({"detail": f'Application "{endpoint}" not found'}, 404)


def read_submission(
    request: Request, address: Address, endpoint: str, account: str, body: Mapping[str, Any]
) -> Submission:
    """Collect the terms of a submission from its URL and headers."""
    timeout = request.headers.get("x-fal-request-timeout")
    return Submission(
        endpoint=endpoint,
        app=app_of(endpoint),
        input=body,
        account=account,
        base=address.base,
        headers={name: request.headers[name] for name in KEPT_HEADERS if name in request.headers},
        webhook_url=request.query_params.get("fal_webhook"),
        is_low_priority=request.headers.get("x-fal-queue-priority") == "low",
        start_timeout_s=float(timeout) if timeout and timeout.replace(".", "", 1).isdecimal() else None,
    )


async def _submit(fal: FalService, request: Request, address: Address, endpoint: str, account: str) -> Response:
    if request.method != "POST":
        return method_not_allowed()
    if fal.models.is_gone(endpoint) or endpoint.count("/") < 1:
        return app_not_found(endpoint)
    try:
        body = await read_input(request)
    except Refused as refusal:
        return answer_of(refused(refusal.problems), "")
    limit = request.query_params.get("fal_max_queue_length", "")
    if limit.isdecimal() and fal.scheduler.waiting_at(app_of(endpoint)) > int(limit):
        return JSONResponse({"detail": "Queue is full", "error_type": "queue_full"}, 429)
    submission = read_submission(request, address, endpoint, account, body)
    fault = fal.script.take(Call.SUBMIT, endpoint)
    if fault and not fault.takes_job:
        return await misbehave(fault, Response(), request)
    job = fal.accept(submission)
    answer = status_body(fal, job, with_logs=False) | {
        "status": "IN_QUEUE",
        "queue_position": fal.scheduler.position(job),
    }
    return await misbehave(fault, JSONResponse(answer, headers={"x-fal-request-id": job.request_id}), request)


async def _status(fal: FalService, request: Request, job: Job) -> Response:
    job.polls += 1
    body = status_body(fal, job, with_logs=_wants_logs(request))
    code = 200 if job.stage is Stage.ENDED else 202
    response = JSONResponse(body, code, headers={"x-fal-request-id": job.request_id})
    return await misbehave(fal.script.take(Call.STATUS, job.submission.endpoint), response, request)


async def _status_stream(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.STATUS, job.submission.endpoint)
    response = StreamingResponse(status_events(fal, job, _wants_logs(request)), media_type="text/event-stream")
    return await misbehave(fault, response, request)


def _wants_logs(request: Request) -> bool:
    return request.query_params.get("logs", "").lower() in ("1", "true")


async def _result(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.RESULT, job.submission.endpoint)
    if job.outcome is None:
        headers = {"x-fal-request-id": job.request_id}
        response: Response = JSONResponse({"detail": "Request is still in progress"}, 400, headers=headers)
    else:
        response = answer_of(await with_inline_files(fal, job, job.outcome), job.request_id)
    return await misbehave(fault, response, request)


def answer_of(outcome: Outcome, request_id: str) -> Response:
    """Replay an outcome: its status, body and headers."""
    headers = {"x-fal-request-id": request_id, **outcome.headers} if request_id else dict(outcome.headers)
    return JSONResponse(outcome.body, outcome.status, headers=headers)


async def with_inline_files(fal: FalService, job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome with data URIs for file URLs, if `sync_mode` asks for that."""
    if job.submission.input.get("sync_mode") is not True or not outcome.files:
        return outcome
    text = json.dumps(outcome.body)
    for path in outcome.files:
        made = fal.files.find(path)
        if isinstance(made, Made):
            data = base64.b64encode(await fal.files.draw(path, made)).decode()
            text = text.replace(f"{job.submission.base.cdn}/{path}", f"data:{made.recipe.content_type};base64,{data}")
    return replace(outcome, body=json.loads(text))


async def _cancel(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.CANCEL, job.submission.endpoint)
    job.cancels += 1
    is_ignored = fault is not None and fault.what is What.IGNORED
    if job.stage is Stage.ENDED:
        response = JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
    elif not is_ignored and fal.scheduler.cancel(job):
        response = JSONResponse({"status": "OK"})
    else:
        response = JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)
    return await misbehave(fault, response, request)


HANDLERS = {
    ("GET", "status"): _status,
    ("GET", "status/stream"): _status_stream,
    ("GET", ""): _result,
    ("GET", "response"): _result,
    ("PUT", "cancel"): _cancel,
}
