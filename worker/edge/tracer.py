"""The tracer of a job's first delivery.

Celery's own tracer builds a traceback object twice for every `Ignore`, with the code positions of its largest function
in it: about a tenth of what a job costs a worker, and more than half of its memory growth under load (figures:
docs/decisions/0003). Accepting needs none of what the tracer does, so a first delivery passes it by; a refusal and a
closing message go through Celery's as ever.
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
    """A task that can take a first delivery."""

    def accept(self, request: Context, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Write the row; raises `InvalidRequestError` when the request cannot be sent."""


def accepting_tracer(task: AcceptingTask, celerys: Tracer) -> Tracer:
    """Celery's tracer, but for deliveries that only have to be accepted."""

    def trace(uuid: str, args: Any, kwargs: Any, request: dict[str, Any] | None = None) -> Any:
        context = Context(request or {}, args=args, kwargs=kwargs, called_directly=False)
        if not is_closing(context):
            try:
                task.accept(context, args, kwargs)
            except Exception:  # noqa: BLE001  # Celery's tracer meets it again, and knows how to store or requeue it
                return celerys(uuid, args, kwargs, request)
            return trace_ok_t(_ignore_info(), True, 0.0, None)
        return celerys(uuid, args, kwargs, request)

    return trace


@cache
def _ignore_info() -> ExceptionInfo:
    """What Celery's tracer gives for `Ignore`, made once: acknowledge, and leave the state as it is."""
    try:
        raise Ignore
    except Ignore:
        return ExceptionInfo(sys.exc_info())
