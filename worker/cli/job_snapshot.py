"""What the Celery result backend says about a job at one moment. `worker.cli.screen.progress` displays it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


@dataclass(frozen=True)
class FollowedJob:
    """A job to follow, with a name for display. `after` is the id of the job before it in a chain."""

    name: str
    job_id: str
    after: str | None = None


@dataclass(frozen=True)
class JobSnapshot:
    """One reading of the result backend. `status` has the fields of `JobStatus` while the job is not final."""

    state: str = "PENDING"
    status: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None

    @property
    def is_final(self) -> bool:
        """True when the state cannot change any more."""
        return self.state in FINAL_STATES


def read_snapshot(app: Celery, job_id: str) -> JobSnapshot:
    """Read the result backend once."""
    meta = app.backend.get_task_meta(job_id)
    state, value = str(meta["status"]), meta["result"]
    if state == "SUCCESS":
        return JobSnapshot(state, result=value if isinstance(value, Mapping) else {"value": value})
    if state in FINAL_STATES:
        return JobSnapshot(state, error=error_fields(state, value))
    return JobSnapshot(state, status=value if isinstance(value, Mapping) else {})


def error_fields(state: str, error: Any) -> dict[str, str]:
    """The code and the message of a job that failed or was revoked."""
    if state == "REVOKED":
        return {"code": "revoked", "message": "the job was cancelled"}
    return {"code": str(getattr(error, "code", type(error).__name__)), "message": str(error)}
