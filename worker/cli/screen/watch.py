"""A job as its caller sees it through the Celery result backend. How it is shown is `worker.cli.screen.follow`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


@dataclass(frozen=True)
class Watched:
    """A job that is followed, under a name for people. `after`: the job whose result it waits for, in a chain."""

    name: str
    job_id: str
    after: str | None = None


@dataclass(frozen=True)
class Seen:
    """What the result backend says at this moment. `status` is the `JobStatus` of a job that has not ended."""

    state: str = "PENDING"
    status: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED


def see(app: Celery, job_id: str) -> Seen:
    """Ask the result backend once."""
    meta = app.backend.get_task_meta(job_id)
    state, value = str(meta["status"]), meta["result"]
    if state == "SUCCESS":
        return Seen(state, result=value if isinstance(value, Mapping) else {"value": value})
    if state in ENDED:
        return Seen(state, error=error_of(state, value))
    return Seen(state, status=value if isinstance(value, Mapping) else {})


def error_of(state: str, error: Any) -> dict[str, str]:
    """An ending that is no result: its code and its message."""
    if state == "REVOKED":
        return {"code": "revoked", "message": "the job was cancelled"}
    return {"code": str(getattr(error, "code", type(error).__name__)), "message": str(error)}
