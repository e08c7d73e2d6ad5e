"""A message whose idempotency key belongs to an earlier job of the same request ends as that job does.

A producer with our package finds the earlier job before it sends anything. A backend that has only Celery sends a
second message, and its caller waits for that id. It gets no row, and nothing is submitted: the message comes again,
with growing pauses, until the first job has ended. Until then the state of the first job is stored for it as well.
"""

import time
from typing import Any

import structlog
from celery import Task, states
from celery.exceptions import Ignore

from worker.edge.endings import ending_of
from worker.edge.message import send_later
from worker.errors import KeyReusedError
from worker.jobs.job import Job, Stage
from worker.jobs.status import status_of

log = structlog.get_logger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PAUSE_BY_AGE = 0.1  # of the first job's age


def ending_of_first(task: Task, queue: str, first: Job) -> dict[str, Any]:
    """The result of the first job, or its error. Raises `Ignore` after the message was sent again for later."""
    if first.ending == Stage.CANCELLED:
        raise KeyReusedError(f"idempotency_key: job {first.id}, which owns it, was cancelled")
    if first.ending is not None:
        return ending_of(first)
    now = time.time()  # the first job's times are the ledger's; a wrong clock makes a pause short or long
    status = status_of(first, now)
    if status.state not in states.READY_STATES:
        task.update_state(state=status.state, meta=status.model_dump(mode="json"))
    pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, PAUSE_BY_AGE * (now - first.created_at)))
    send_later(task, task.request, queue, pause_s)
    raise Ignore
