"""Celery's `revoke` command, extended to jobs: for `AsyncResult.revoke()`, `celery control revoke` and Flower.

Celery's command keeps the id in the memory of its process and drops its next message, which would be our closing
message. For a job we store a cancel on its row instead, and the dispatcher ends it. For an id without a row (the next
task of a chain, a chord's body, a message of `send_task` that still waits) the ledger notes the cancel, so that every
worker knows of it, those that start later too. Such an id also goes to Celery's command: it may be no job of ours.
"""

from collections.abc import Sequence
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

_celery_revoke = control.revoke


def revoke(state: Any, task_id: str | Sequence[str], terminate: bool = False, signal: Any = None, **kw: Any) -> Any:
    """Revoke tasks by id, and cancel those that are jobs."""
    service = getattr(state.app, "job_service", None)
    ids = list(maybe_list(task_id) or [])
    jobs = [job_id for job_id in ids if service is not None and service.cancel(job_id)]
    others = [other for other in ids if other not in jobs]
    if others:
        return _celery_revoke(state, others, terminate, signal, **kw)
    return control.ok(f"jobs {jobs} are being cancelled")


def register_revoke() -> None:
    """Replace Celery's command with ours."""
    control.Panel.register(name="revoke", type="control", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")(
        revoke
    )
