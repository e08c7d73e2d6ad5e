"""fal's direct runs: one POST that waits for the output, and its variant that streams events.

As described at https://fal.ai/docs/documentation/model-apis/inference/synchronous and /streaming.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from twin.fal import comfy
from twin.fal.access import account_of
from twin.fal.address import Address
from twin.fal.errors import Refused, refused
from twin.fal.job import Job, Outcome
from twin.fal.queue import not_found, read_submission, replay_outcome, with_inline_files
from twin.fal.request_body import read_input
from twin.fal.service import FalService
from twin.fal.validate import find_problems
from twin.fault_responses import apply_fault
from twin.script import Call

EVENTS = 3
TOO_MANY = {"detail": "Too many concurrent requests", "error_type": "concurrent_requests_limit"}


async def answer_run(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the host of direct runs."""
    path = address.path.strip("/")
    endpoint = path.removesuffix("/stream")
    account = account_of(request.headers, endpoint, is_paid=True)
    if why := fal.refusal(endpoint):
        return not_found(why)
    try:
        body = await read_input(request)
    except Refused as refusal:
        return replay_outcome(refused(refusal.problems), "")
    if not fal.scheduler.has_slot(account):
        headers = {"X-Fal-Error-Type": "concurrent_requests_limit", "X-Fal-needs-retry": "1"}
        return JSONResponse(TOO_MANY, 429, headers=headers)
    model = fal.models.find(endpoint)
    if path != endpoint and model and (problems := find_problems(model, body)):
        return replay_outcome(refused(problems), "")
    fault = fal.script.take(Call.SUBMIT, endpoint)
    if fault and not fault.accepts_job:
        return await apply_fault(fault, Response(), request)
    job = fal.accept(replace(read_submission(request, address, endpoint, account, body), is_direct=True))
    response = _stream(fal, job) if path != endpoint else await _whole(fal, job)
    return await apply_fault(fault, response, request)


async def _whole(fal: FalService, job: Job) -> Response:
    return replay_outcome(await _outcome(fal, job), job.request_id)


async def _outcome(fal: FalService, job: Job) -> Outcome:
    await job.ended.wait()
    if job.outcome is None:
        raise RuntimeError("an ended job has an outcome")
    return await with_inline_files(fal, job, job.outcome)


def _stream(fal: FalService, job: Job) -> Response:
    if job.submission.app == comfy.ENDPOINT:
        events = comfy.events(job)
    elif job.submission.app.startswith("workflows/"):
        events = _workflow_events(fal, job)
    else:
        events = _model_events(fal, job)
    return StreamingResponse(
        _as_sse(events), media_type="text/event-stream", headers={"x-fal-request-id": job.request_id}
    )


async def _as_sse(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for event in events:
        yield f"data: {json.dumps(event)}\n\n"


async def _model_events(fal: FalService, job: Job) -> AsyncIterator[dict[str, Any]]:
    """Yield outputs of the final shape, with a longer part of the text in each."""
    outcome = await _outcome(fal, job)
    for number in range(1, EVENTS + 1):
        share = number / EVENTS
        yield {name: _part(value, share) if name == "output" else value for name, value in outcome.body.items()}


def _part(value: Any, share: float) -> Any:
    return value[: int(len(value) * share)] if isinstance(value, str) else value


async def _workflow_events(fal: FalService, job: Job) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a workflow with one node."""
    node = {"node_id": "node_1", "app_id": "fal-ai/flux/dev"}
    yield {"type": "submit", **node, "request_id": job.request_id}
    outcome = await _outcome(fal, job)
    if not outcome.is_good:
        message = "Error while fetching the result of the request"
        yield {
            "type": "error",
            "node_id": "node_1",
            "message": message,
            "error": {"status": outcome.status, "body": outcome.body},
        }
        return
    yield {"type": "completion", **node, "output": outcome.body}
    yield {"type": "output", "node_id": "output", "output": outcome.body}
