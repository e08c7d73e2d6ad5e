"""Points at which a process kills itself on order, so that a test can crash it between any two effects.

`KILNHAND_CRASH_AT` names the point. Nothing is armed unless an entry point arms it; a point then costs a comparison.
"""

import os
import signal

from worker.jobs.job import FINAL, Stage

_WRITES = tuple(f"{side}_write_{stage}" for stage in Stage if stage not in FINAL for side in ("before", "after"))
POINTS = (
    "before_sent_row",  # in a producer: nothing has happened
    "after_sent_row",  # the row says sent, no message is out
    "after_message",  # the message is out, the caller does not know its id
    "before_accept",
    "after_accept",  # the row is there, the message not acknowledged
    "after_claim",
    "before_post",  # the intent is written, nothing sent
    "after_post",  # the provider has answered, the ticket is not written
    "before_stop",  # a cancel, before the provider is asked
    "after_stop",
    "before_put",  # a verified file, before it is stored
    "after_put",
    *_WRITES,
    "before_resend",
    "after_resend",
    "before_closing_message",
    "after_closing_message",
    "after_take",  # the ending is taken, nothing of it has reached Celery
    "before_confirm",  # Celery has stored the ending, the row still closes
    "after_confirm",
    "before_revoked",  # a cancelled job, before its state is stored
    "after_revoked",
)

_armed: str | None = None


def arm(name: str | None) -> None:
    """Die at this point. Raises `ValueError` for a name that is no point."""
    global _armed
    if name is not None and name not in POINTS:
        raise ValueError(f"KILNHAND_CRASH_AT is {name!r}; allowed: {', '.join(POINTS)}")
    _armed = name


def point(name: str) -> None:
    """Die here, as by `kill -9`, if that was ordered."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
