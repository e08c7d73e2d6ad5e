"""Celery's request and strategy for jobs, so that Flower shows one task: received once, started once, one runtime.

The closing message is a second delivery of the same id. Without this module, Flower would show the times of that
delivery instead of the job's.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from celery import Task
from celery.worker.request import Request
from celery.worker.state import revoked_stamps
from celery.worker.strategy import default

from worker.edge.message import ACCEPTED_AT_HEADER
from worker.edge.stamps import has_stamp
from worker.errors import KilnhandError


class JobRequest(Request):
    """Sends the events of a closing message with the job's whole runtime, and without a start event."""

    stamped_headers: Sequence[str] = ()  # Celery drops messages with a revoked stamp

    def revoked(self) -> bool:
        """A revoked stamp cancels the job on its row: a dropped message would be sent again."""
        service = getattr(self.task.app, "job_service", None)
        if service is not None and has_stamp(self._request_dict, revoked_stamps):
            service.cancel(self.id)
        return bool(super().revoked())

    def maybe_expire(self) -> bool:
        """Whether the message has expired, so that Celery ends its task as REVOKED.

        Not if there is a job of its id: `delay()` keeps the expiry on the row, so the job was accepted before, or the
        message is another's under that id.
        """
        return bool(self.expires) and not is_id_of_job(self._app, self.id) and bool(super().maybe_expire())

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  # Celery's name
        """Send the event. A closing message sends no start, and the whole job's runtime."""
        accepted_at = self._request_dict.get(ACCEPTED_AT_HEADER)
        if accepted_at is not None:
            if type == "task-started":
                return
            fields["runtime"] = max(0.0, time.time() - float(accepted_at))
        if type == "task-failed":
            fields.setdefault("result", "")  # otherwise Flower shows the last progress beside the exception
        super().send_event(type, **fields)


def is_id_of_job(app: Any, task_id: str) -> bool:
    """Whether there is a job of this id. False while the ledger cannot say."""
    service = getattr(app, "job_service", None)
    try:
        return service is not None and bool(service.has_row(task_id))
    except KilnhandError:
        return False


def strategy(task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's default strategy, except that a closing message sends no received event, and waits for no rate limit."""
    first = default(task, app, consumer, **options)
    has_no_limits = consumer.disable_rate_limits
    task.send_events, consumer.disable_rate_limits = False, True  # `default` reads them
    try:
        closing = default(task, app, consumer, **options)
    finally:
        task.send_events, consumer.disable_rate_limits = True, has_no_limits

    def receive(message: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = closing if ACCEPTED_AT_HEADER in (message.headers or {}) else first
        return chosen(message, *args, **kwargs)

    return receive
