"""The worker's side of a delivery: Flower is to see the runtime of the whole job, not of the closing message."""

import time
from typing import Any

from celery.worker.request import Request

SINCE = "kilnhand_since"  # header of a closing message: when the job was accepted, seconds since the epoch
CLOSING_STARTED = "task-started"


class JobRequest(Request):
    """Counts from the job's acceptance. The start of a closing message is no start of the job."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  # Celery's name
        """Send the event, with the whole job's runtime where it ends."""
        since = self._request_dict.get(SINCE)
        if since is not None:
            if type == CLOSING_STARTED:
                return
            fields["runtime"] = max(0.0, time.time() - float(since))
        super().send_event(type, **fields)
