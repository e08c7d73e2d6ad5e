"""Crash points: places where a process kills itself, so that a test can crash it between any two effects.

`KILNHAND_CRASH_AT` names the point. A process crashes only if its entry point calls `arm`. A point that is not armed
costs one comparison.
"""

import os
import signal

from worker.jobs.job import FINAL, Stage

_WRITES = tuple(f"{side}_write_{stage}" for stage in Stage if stage not in FINAL for side in ("before", "after"))
POINTS = (
    "before_sent_row",  # in a producer: nothing has happened
    "after_sent_row",  # the row is sent, the message not published
    "after_message",  # the message is published, the caller does not know its id
    "before_accept",
    "after_accept",  # the row is written, the message not acknowledged
    "after_claim",
    "before_post",  # the intent is written, nothing is sent
    "after_post",  # the provider has answered, the ticket is not written
    "before_stop",  # a cancel, before the provider is asked
    "after_stop",
    "before_put",  # a verified file, before it is stored
    "after_put",
    *_WRITES,
    "after_step_noted",  # a pipeline's row knows the step, its job is not sent
    "after_step_sent",
    "after_run_sent",  # of equal requests; no row knows yet who has a part in it
    "after_run_joined",
    "before_resend",
    "after_resend",
    "before_closing_message",
    "after_closing_message",
    "after_take",  # the ending is taken, Celery has stored nothing of it
    "before_confirm",  # Celery has stored the ending, the row is still closing
    "after_confirm",
    "before_revoked",  # a cancelled job, before its state is stored
    "after_revoked",
)

_armed: str | None = None


def arm(name: str | None) -> None:
    """Crash at this point. Raises `ValueError` for an unknown name."""
    global _armed
    if name is not None and name not in POINTS:
        raise ValueError(f"KILNHAND_CRASH_AT is {name!r}; allowed: {', '.join(POINTS)}")
    _armed = name


def point(name: str) -> None:
    """Crash here, as with `kill -9`, if this point is armed."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
