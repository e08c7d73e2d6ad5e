"""fal's queue: submit, status, stream of statuses, result, cancel.

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
from twin.fal.errors import Refused, refused
from twin.fal.expiry import has_expired
from twin.fal.job import Job, Outcome, Stage, Submission
from twin.fal.request_body import read_input
from twin.fal.service import FalService
from twin.fal.status import status_body, status_events
from twin.fault_responses import apply_fault
from twin.file_store import GeneratedFile
from twin.script import Call, FaultKind

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
    if job is None or job.submission.app != endpoint or has_expired(job, fal.clock(), fal.pace):
        return JSONResponse(NOT_FOUND, 404)
    return await handler(fal, request, job)


def method_not_allowed() -> Response:
    """Return fal's answer to a method that a path does not have."""
    return JSONResponse({"detail": "Method Not Allowed"}, 405)


def not_found(refusal: str) -> Response:
    """Return fal's answer for an unknown app."""
    return JSONResponse({"detail": refusal}, 404)


def read_submission(
    request: Request, address: Address, endpoint: str, account: str, body: Mapping[str, Any]
) -> Submission:
    """Return the submission of a request, with the options in its URL and headers."""
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
    if why := fal.refusal(endpoint):
        return not_found(why)
    try:
        body = await read_input(request)
    except Refused as refusal:
        return replay_outcome(refused(refusal.problems), "")
    limit = request.query_params.get("fal_max_queue_length", "")
    if limit.isdecimal() and fal.scheduler.waiting_count(app_of(endpoint)) > int(limit):
        return JSONResponse({"detail": "Queue is full", "error_type": "queue_full"}, 429)
    submission = read_submission(request, address, endpoint, account, body)
    fault = fal.script.take(Call.SUBMIT, endpoint)
    if fault and not fault.accepts_job:
        return await apply_fault(fault, Response(), request)
    job = fal.accept(submission)
    answer = status_body(fal, job, with_logs=False) | {
        "status": "IN_QUEUE",
        "queue_position": fal.scheduler.position(job),
    }
    return await apply_fault(fault, JSONResponse(answer, headers={"x-fal-request-id": job.request_id}), request)


async def _status(fal: FalService, request: Request, job: Job) -> Response:
    job.polls += 1
    body = status_body(fal, job, with_logs=_wants_logs(request))
    code = 200 if job.stage is Stage.ENDED else 202
    response = JSONResponse(body, code, headers={"x-fal-request-id": job.request_id})
    return await apply_fault(fal.script.take(Call.STATUS, job.submission.endpoint), response, request)


async def _status_stream(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.STATUS, job.submission.endpoint)
    response = StreamingResponse(status_events(fal, job, _wants_logs(request)), media_type="text/event-stream")
    return await apply_fault(fault, response, request)


def _wants_logs(request: Request) -> bool:
    return request.query_params.get("logs", "").lower() in ("1", "true")


async def _result(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.RESULT, job.submission.endpoint)
    if job.outcome is None:
        headers = {"x-fal-request-id": job.request_id}
        response: Response = JSONResponse({"detail": "Request is still in progress"}, 400, headers=headers)
    else:
        response = replay_outcome(await with_inline_files(fal, job, job.outcome), job.request_id)
    return await apply_fault(fault, response, request)


def replay_outcome(outcome: Outcome, request_id: str) -> Response:
    """Return the response of an outcome: its status, body and headers."""
    headers = {"x-fal-request-id": request_id, **outcome.headers} if request_id else dict(outcome.headers)
    return JSONResponse(outcome.body, outcome.status, headers=headers)


async def with_inline_files(fal: FalService, job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome with data URIs in place of file URLs if the input has `sync_mode`."""
    if job.submission.input.get("sync_mode") is not True or not outcome.files:
        return outcome
    text = json.dumps(outcome.body)
    for path in outcome.files:
        generated = fal.files.find(path)
        if isinstance(generated, GeneratedFile):
            data = base64.b64encode(await fal.files.draw(path, generated)).decode()
            text = text.replace(
                f"{job.submission.base.cdn}/{path}", f"data:{generated.drawable.content_type};base64,{data}"
            )
    return replace(outcome, body=json.loads(text))


async def _cancel(fal: FalService, request: Request, job: Job) -> Response:
    fault = fal.script.take(Call.CANCEL, job.submission.endpoint)
    job.cancels += 1
    is_ignored = fault is not None and fault.what is FaultKind.IGNORED
    if job.stage is Stage.ENDED:
        response = JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
    elif not is_ignored and fal.scheduler.cancel(job):
        response = JSONResponse({"status": "OK"})
    else:
        response = JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)
    return await apply_fault(fault, response, request)


HANDLERS = {
    ("GET", "status"): _status,
    ("GET", "status/stream"): _status_stream,
    ("GET", ""): _result,
    ("GET", "response"): _result,
    ("PUT", "cancel"): _cancel,
}
