"""The status of a job in the queue: one body, or a stream of them until the job has ended."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from twin.fal.job import Job, Stage
from twin.fal.log_lines import log_lines
from twin.fal.service import FalService

STREAM_TICK_SECONDS = 0.25


async def status_events(fal: FalService, job: Job, with_logs: bool) -> AsyncIterator[str]:
    """Yield the status each time it has changed, with the new log lines only."""
    last, sent_lines = None, 0
    while True:
        changed, is_last = job.changed, job.stage is Stage.ENDED
        body = status_body(fal, job, with_logs=with_logs)
        if body["logs"]:
            body["logs"], sent_lines = body["logs"][sent_lines:], len(body["logs"])
        state = (body["status"], body.get("queue_position"))
        if state != last or body["logs"]:
            yield f"data: {json.dumps(body)}\n\n"
        last = state
        if is_last:
            return
        try:
            await asyncio.wait_for(changed.wait(), STREAM_TICK_SECONDS)
        except TimeoutError:
            continue


def status_body(fal: FalService, job: Job, *, with_logs: bool) -> dict[str, Any]:
    """Return the body of the status call."""
    url = f"{job.submission.base.queue}/{job.submission.app}/requests/{job.request_id}"
    model = fal.models.find(job.submission.endpoint)
    body: dict[str, Any] = {
        "status": job.stage.value,
        "request_id": job.request_id,
        "gateway_request_id": job.request_id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
        "logs": log_lines(job, model, fal.clock()) if with_logs and job.stage is not Stage.QUEUED else None,
        "metrics": {},
    }
    if job.stage is Stage.QUEUED:
        body["queue_position"] = fal.scheduler.position(job)
    if job.started_at and job.ended_at:
        body["metrics"] = {"inference_time": round(job.ended_at - job.started_at, 3)}
    if job.outcome and job.outcome.error_type:
        body |= {"error": job.outcome.error, "error_type": job.outcome.error_type}
    return body
