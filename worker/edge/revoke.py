"""Celery's commands that end tasks, extended to jobs: for `AsyncResult.revoke()`, `celery control` and Flower.

Celery's command keeps the id in the memory of its process and drops its next message, which would be our closing
message. For a job we store a cancel on its row instead, and the dispatcher ends it. For an id without a row (the next
task of a chain, a chord's body, a message of `send_task` that still waits) the ledger notes the cancel, so that every
worker knows of it, those that start later too. Such an id also goes to Celery's command: it may be no job of ours.
`terminate` does the same for a job: its run is at the provider, and not in our process.
`revoke_by_stamped_headers` also cancels the waiting jobs that have the stamp.
"""

from collections.abc import Sequence
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

from worker.edge.stamps import read_stamps

_celery_revoke, _celery_revoke_by_stamps = control.revoke, control.revoke_by_stamped_headers


def revoke(state: Any, task_id: str | Sequence[str], terminate: bool = False, signal: Any = None, **kw: Any) -> Any:
    """Revoke tasks by id, and cancel those that are jobs."""
    service = getattr(state.app, "job_service", None)
    ids = list(maybe_list(task_id) or [])
    jobs = [job_id for job_id in ids if service is not None and service.cancel(job_id)]
    others = [other for other in ids if other not in jobs]
    if others:
        return _celery_revoke(state, others, terminate, signal, **kw)
    return control.ok(f"jobs {jobs} are being cancelled")


def terminate(state: Any, signal: Any, task_id: str | Sequence[str], **kw: Any) -> Any:
    """Cancel jobs; terminate other tasks, if the pool can."""
    return revoke(state, task_id, terminate=True, signal=signal, **kw)


def revoke_by_stamped_headers(state: Any, headers: Any, terminate: bool = False, signal: Any = None, **kw: Any) -> Any:
    """Revoke tasks by stamp, and cancel the waiting jobs that have it."""
    if service := getattr(state.app, "job_service", None):
        service.cancel_stamped(read_stamps(headers))
    return _celery_revoke_by_stamps(state, headers, terminate, signal, **kw)


def register_revoke() -> None:
    """Replace Celery's commands with ours."""
    ids = "[id1 [id2 [... [idN]]]]"
    replace = control.Panel.register
    replace(name="revoke", type="control", variadic="task_id", signature=ids)(revoke)
    replace(name="terminate", type="control", args=[("signal", str)], variadic="task_id", signature=f"<signal> {ids}")(
        terminate
    )
    replace(
        name="revoke_by_stamped_headers",
        type="control",
        variadic="headers",
        signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]",
    )(revoke_by_stamped_headers)
