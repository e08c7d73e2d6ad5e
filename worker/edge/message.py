"""Converts a Celery message to the form that a row stores, and back: with the same id, chain, links and chord.

Two messages are made from a row: the original one again when no worker accepted it, and the closing message.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from celery import Task
from celery.app.task import Context
from kombu.utils.json import dumps

from worker.jobs.job import Job, Options, Stage

ACCEPTED_AT_HEADER = "kilnhand_since"  # only in closing messages: seconds since the epoch
SENT_AT_HEADER = "kilnhand_sent"  # in every message of ours: when it was sent, by the ledger's clock
STEP_OF_HEADER = "kilnhand_step_of"  # in the messages of a pipeline's step: [the pipeline's id, the step's name]
ENDINGS = ".endings"  # the suffix of a queue's closing messages, which do not wait behind new jobs
HIGH = ".high"  # the suffix of the queue of its new jobs of priority high: in Celery's own order 0 is the highest,
LOW_STEP = 9  # and messages of a bare `send_task` have it. Low jobs wait in the last of the queue's lists.

_STORED_FIELDS = (
    "id", "task", "args", "kwargs", "root_id", "parent_id", "group", "group_index", "chord", "chain", "callbacks",
    "errbacks", "delivery_info", "hostname", "retries", "ignore_result", "timelimit", "stamped_headers", "stamps",
    "headers", "reply_to", "correlation_id", "origin", "replaced_task_nesting", "shadow", "argsrepr", "kwargsrepr",
)  # fmt: skip
LONG = 1000  # characters of a text that Celery's results and events show
_STAMPS = {"stamps", "stamped_headers"}  # left out of closing messages: a worker drops a message with a revoked stamp
_OPTIONS = {
    "task_id": "id", "group_id": "group", "link": "callbacks", "link_error": "errbacks", "root_id": "root_id",
    "parent_id": "parent_id", "group_index": "group_index", "chord": "chord", "chain": "chain", "headers": "headers",
    "shadow": "shadow", "ignore_result": "ignore_result", "stamped_headers": "stamped_headers",
    "replaced_task_nesting": "replaced_task_nesting", "reply_to": "reply_to",
}  # fmt: skip


def stored_message(request: Context) -> dict[str, Any]:
    """The fields of a received message that Celery needs to continue after the job, as plain JSON.

    Without its arguments: the row has the request, which may be 256 kB, and `context_of` makes them from it.
    """
    return _plain({name: getattr(request, name, None) for name in _STORED_FIELDS if name not in {"args", "kwargs"}})


def context_of(job: Job) -> Context:
    """The message of a row as Celery's request, with the job's request as its named arguments; long texts are cut."""
    usual = Options()
    options = {each.name: getattr(job.options, each.name) for each in fields(Options)}
    changed = {name: value for name, value in options.items() if value != getattr(usual, name)}
    given = {**job.request, **changed} if job.request else job.message.get("kwargs") or {}
    return Context({**job.message, "args": (), "kwargs": shortened(given)})


def shortened(value: Any) -> Any:
    """The same JSON value with long texts cut, and their lengths said: for a reader, not for a call."""
    match value:
        case str() if len(value) > LONG:
            return f"{value[:100]}… ({len(value)} characters)"
        case Mapping():
            return {name: shortened(each) for name, each in value.items()}
        case list() | tuple():
            return [shortened(each) for each in value]
        case _:
            return value


def message_to_send(
    task: str, queue: str, args: Any, kwargs: Any, options: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """The same fields for a message that is about to be sent, from the options of `apply_async`.

    `now` is the ledger's time. `expires_at` is in the ledger's time too, since the clocks of callers and workers may be
    wrong.
    """
    found = {field: options.get(name) for name, field in _OPTIONS.items()}
    for name in ("callbacks", "errbacks"):
        one = found[name]
        found[name] = one if one is None or isinstance(one, list | tuple) else [one]
    stamps = {name: options[name] for name in options.get("stamped_headers") or () if name in options}
    delivery = {"routing_key": queue, "exchange": "", "priority": options.get("priority")}
    more = {
        "task": task,
        "args": args or (),
        "kwargs": kwargs or {},
        "delivery_info": delivery,
        "stamps": stamps or None,
    }
    left_s = _left_s(options.get("expires"))
    return _plain({**found, **more, "expires_at": None if left_s is None else now + left_s})


def step_of(job: Job) -> tuple[str, str] | None:
    """The id of the pipeline that a job is a step of, and the step's name, as its message's header says."""
    found = (job.message.get("headers") or {}).get(STEP_OF_HEADER)
    match found:
        case [str(pipeline), str(name)]:
            return pipeline, name
        case _:
            return None


def is_closing(request: Context) -> bool:
    """Whether this delivery is a closing message."""
    return getattr(request, ACCEPTED_AT_HEADER, None) is not None


def endings_queue(queue: str) -> str:
    """The queue of the closing messages of a queue's jobs."""
    return f"{queue}{ENDINGS}"


def side_queues(queue: str) -> tuple[str, str]:
    """The queues that a worker of this queue also consumes, and before it."""
    return endings_queue(queue), f"{queue}{HIGH}"


def route_by_priority(options: dict[str, Any], queue: str, given: Mapping[str, Any]) -> None:
    """Add the route for the job's priority to the options of `apply_async`, unless the caller has chosen another.

    `queue` is the one whose workers own the row.
    """
    named = str(getattr(options.get("queue"), "name", options.get("queue")))
    match given.get("priority"):
        case "high" if named == queue and not {"exchange", "routing_key"} & options.keys():
            options["queue"] = f"{queue}{HIGH}"
        case "low" if options.get("priority") is None:
            options["priority"] = LOW_STEP


def send_closing(task: Task, job: Job) -> None:
    """Publish the same task id again, as Celery's own `retry` does (celery 5.7.0, `app/task.py`)."""
    _publish(task, job, {ACCEPTED_AT_HEADER: job.created_at})


def send_again(task: Task, job: Job) -> None:
    """Publish the message of a row that no worker has accepted."""
    _publish(task, job, {})


def is_message_of(job: Job, sent_at: float | None) -> bool:
    """Whether the message that has this time of sending in its header is the one that a sent row waits for.

    Another message may have the job's id: Celery lets a caller choose any.
    """
    return job.stage == Stage.SENT and sent_at is not None and sent_at in {job.sent_at, job.resent_at}


def send_later(task: Task, request: Context, queue: str, countdown_s: float) -> None:
    """Publish a received message again, to be taken after these seconds."""
    whole = {**stored_message(request), "args": request.args, "kwargs": request.kwargs}
    _publish_message(task, Context(whole), queue, {}, countdown_s)


def sending_of(job: Job) -> tuple[str, float | None, int]:
    """The queue of the job's last message, when it was sent, and its priority for the broker."""
    if job.ending is not None:
        return endings_queue(job.queue), max(job.closed_at or 0.0, job.resent_at or 0.0), 0
    route = {"queue": job.queue, "priority": (job.message.get("delivery_info") or {}).get("priority")}
    route_by_priority(route, job.queue, job.message.get("kwargs") or {})
    return str(route["queue"]), job.resent_at or job.sent_at, int(route["priority"] or 0)


def _publish(task: Task, job: Job, headers: Mapping[str, Any]) -> None:
    closing = ACCEPTED_AT_HEADER in headers
    queue, sent_at, priority = sending_of(job)
    context = context_of(job) if closing else Context(job.message)
    for name in _STAMPS if closing else ():
        setattr(context, name, None)
    _publish_message(task, context, queue, {**headers, SENT_AT_HEADER: sent_at}, priority=priority)


def _publish_message(
    task: Task, context: Context, queue: str, headers: Mapping[str, Any], countdown_s: float = 0, **options: Any
) -> None:
    signature = task.signature_from_request(
        context,
        context.args or (),
        context.kwargs or {},
        retries=context.retries or 0,
        countdown=countdown_s,
        queue=queue,
        headers={**(context.headers or {}), **headers},
        **options,
    )
    Task.apply_async(task, signature.args, signature.kwargs, **signature.options)


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(dumps({name: value for name, value in found.items() if value is not None}))
    return plain


def _left_s(expires: Any) -> float | None:
    """Seconds from now. Celery accepts seconds, a datetime (by the caller's clock), or its ISO form."""
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    if isinstance(expires, datetime):
        return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)).timestamp() - time.time()
    return float(expires) if expires is not None else None
