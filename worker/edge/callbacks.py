"""Where a worker sends a backend's own tasks that name no queue: links, errbacks, the rest of a chain, a chord's body.

Celery sends them to the default queue of the application that runs the task before, which is ours and not the
backend's. So they go to `KILNHAND_CALLBACK_QUEUE`, or to the queue that the header of the job's message names: each
backend can have its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import Celery

from config.settings import Settings
from worker.edge.app import DEFAULT_QUEUE
from worker.jobs.aliases import task_of

CALLBACKS_HEADER = "kilnhand_callbacks"  # in messages of ours: the queue for callbacks without one

_message: ContextVar[Mapping[str, Any] | None] = ContextVar("message", default=None)


@contextmanager
def callbacks_of(message: Mapping[str, Any]) -> Iterator[None]:
    """What is sent in this block follows the job of this message. Where a task runs, Celery knows it."""
    token = _message.set(message)
    try:
        yield
    finally:
        _message.reset(token)


def callbacks_header(app: Celery) -> dict[str, str]:
    """The header for a message of ours: as the job before it says, or as the settings of its producer do."""
    queue = _named_queue(app) or app.conf.task_default_queue
    return {CALLBACKS_HEADER: queue} if queue != DEFAULT_QUEUE else {}


def route_callbacks(app: Celery) -> None:
    """Route what this worker sends for other applications. A user's own tasks here have routes of their own.

    A part of a chain that names a task of ours by an alias goes to that task's queue.
    """
    aliases = Settings().request.aliases

    def route(name: str, args: Any, kwargs: Any, options: Mapping[str, Any], **_: Any) -> Any:
        if name in app.tasks or any(options.get(each) for each in ("queue", "exchange", "routing_key")):
            return None
        if queue := getattr(app.tasks.get(task_of(name, aliases)), "job_queue", None):
            return {"queue": queue}
        queue = _named_queue(app)
        return {"queue": queue} if queue else None

    app.conf.task_routes = (route,)


def _named_queue(app: Celery) -> str | None:
    """The queue that the message says which is processed now."""
    message = _message.get()
    if message is not None:
        named = (message.get("headers") or {}).get(CALLBACKS_HEADER)
    else:
        running = app.current_worker_task
        named = getattr(running.request, CALLBACKS_HEADER, None) if running else None
    return named if isinstance(named, str) and named else None
