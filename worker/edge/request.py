"""The worker's side of a delivery, so that Flower shows a job as one: received once, started once, one runtime.

The closing message is a second delivery of the same id; left alone, Flower would show its times in the job's place.
"""

import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.worker.request import Request
from celery.worker.strategy import default

from worker.edge.message import ACCEPTED_AT_HEADER


class JobRequest(Request):
    """Sends a closing message's events with the whole job's runtime, and without a start of its own."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  # Celery's name
        """Send the event, with the whole job's runtime where it ends."""
        since = self._request_dict.get(ACCEPTED_AT_HEADER)
        if since is not None:
            if type == "task-started":
                return
            fields["runtime"] = max(0.0, time.time() - float(since))
        if type == "task-failed":
            fields.setdefault("result", "")  # else the last progress stays beside the exception
        super().send_event(type, **fields)


def strategy(task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's own way with a message, but that receiving a closing message is no event."""
    first = default(task, app, consumer, **options)
    task.send_events = False  # read while a strategy is made
    try:
        closing = default(task, app, consumer, **options)
    finally:
        task.send_events = True

    def receive(message: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = closing if ACCEPTED_AT_HEADER in (message.headers or {}) else first
        return chosen(message, *args, **kwargs)

    return receive
