"""Celery's `revoke`, for jobs too: `AsyncResult.revoke()`, `celery control revoke` and Flower reach them.

The stock command remembers the id and drops its next message, which would be our closing message; a job's row is told
instead, and the dispatcher ends it. An id without a row (its first message still queued) goes the stock way.
"""

from collections.abc import Sequence
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

_stock_revoke = control.revoke


def revoke(state: Any, task_id: str | Sequence[str], terminate: bool = False, signal: Any = None, **kw: Any) -> Any:
    """Revoke tasks by id; jobs among them are cancelled."""
    minder = getattr(state.app, "minder", None)
    ids = list(maybe_list(task_id) or [])
    jobs = [job_id for job_id in ids if minder is not None and minder.cancel(job_id)]
    others = [other for other in ids if other not in jobs]
    if others:
        return _stock_revoke(state, others, terminate, signal, **kw)
    return control.ok(f"jobs {jobs} are being cancelled")


def register_revoke() -> None:
    """Put our command in the place of Celery's."""
    control.Panel.register(name="revoke", type="control", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")(
        revoke
    )
