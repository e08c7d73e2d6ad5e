"""Runs the first delivery of a job without Celery's tracer.

For every `Ignore`, Celery's tracer builds a traceback object twice, with the code positions of its largest function.
That is about a tenth of a job's cost to a worker, and more than half of its memory growth under load (measurements:
docs/decisions/0003). To accept a job needs nothing from the tracer. A refused request and a closing message still go
through Celery's tracer.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.app.trace import trace_ok_t
from celery.exceptions import Ignore

from worker.edge.message import is_closing

Tracer = Callable[..., Any]


class AcceptingTask(Protocol):
    """A task that accepts a first delivery."""

    def accept(self, request: Context, args: Any, kwargs: Mapping[str, Any]) -> object | None:
        """Write the row. Raises `InvalidRequestError` when the request is invalid. None: nothing more is to be done."""

    def closing_delivered(self, task_id: str) -> None:
        """The tracer is done with a closing message, whatever came of it."""


def accepting_tracer(task: AcceptingTask, celery_tracer: Tracer) -> Tracer:
    """A tracer that accepts first deliveries itself, and leaves the others to Celery's."""

    def trace(uuid: str, args: Any, kwargs: Any, request: dict[str, Any] | None = None) -> Any:
        context = Context(request or {}, args=args, kwargs=kwargs, called_directly=False)
        if not is_closing(context):
            try:
                if task.accept(context, args, kwargs) is not None:
                    return celery_tracer(uuid, args, kwargs, request)
            except Exception:  # noqa: BLE001  # Celery's tracer runs it again, and stores the error or requeues
                return celery_tracer(uuid, args, kwargs, request)
            return trace_ok_t(_ignore_info(), True, 0.0, None)
        try:
            return celery_tracer(uuid, args, kwargs, request)
        finally:
            task.closing_delivered(uuid)

    return trace


@cache
def _ignore_info() -> ExceptionInfo:
    """The info that Celery's tracer returns for `Ignore`, made once: acknowledge, and do not change the state."""
    try:
        raise Ignore
    except Ignore:
        return ExceptionInfo(sys.exc_info())
