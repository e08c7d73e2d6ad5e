"""A Celery message as a row keeps it, and the closing message made from it: the same id, chain, links and chord."""

import json
from typing import Any

from celery import Task
from celery.app.task import Context
from kombu.utils.json import dumps

from worker.job import Job

SINCE = "kilnhand_since"  # header of a closing message: when the job was accepted, seconds since the epoch

_KEPT = (
    "id", "task", "args", "kwargs", "root_id", "parent_id", "group", "group_index", "chord", "chain", "callbacks",
    "errbacks", "delivery_info", "hostname", "retries", "ignore_result", "timelimit", "stamped_headers", "stamps",
    "headers", "reply_to", "correlation_id", "origin", "replaced_task_nesting", "shadow", "argsrepr", "kwargsrepr",
)  # fmt: skip


def kept(request: Context) -> dict[str, Any]:
    """What Celery needs to go on after this message: plain JSON."""
    found = {name: getattr(request, name, None) for name in _KEPT}
    plain: dict[str, Any] = json.loads(dumps({name: value for name, value in found.items() if value is not None}))
    return plain


def is_closing(request: Context) -> bool:
    """Whether this delivery is a closing message."""
    return getattr(request, SINCE, None) is not None


def send_closing(task: Task, job: Job) -> None:
    """Publish the same task id again, as Celery's own `retry` does (celery 5.7.0, `app/task.py`)."""
    context = Context(job.message)
    signature = task.signature_from_request(
        context,
        context.args or (),
        context.kwargs or {},
        retries=context.retries or 0,
        countdown=0,
        queue=job.queue,
        headers={**(context.headers or {}), SINCE: job.created_at},
    )
    Task.apply_async(task, signature.args, signature.kwargs, **signature.options)
