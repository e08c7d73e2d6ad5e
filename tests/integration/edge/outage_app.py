"""A stock Celery application whose task holds its message unacknowledged while Redis goes away."""

import os
import time
from pathlib import Path

from celery import Celery

from worker.edge.compat import survive_outages

url = os.environ["OUTAGE_REDIS_URL"]
app = Celery("outage", broker=url, backend=url, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    worker_disable_prefetch=True,
    result_backend_thread_safe=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"visibility_timeout": 5, "unacked_restore_interval": 1, "unacked_restore_throttle": 1},
)
if os.environ["OUTAGE_COMPAT"] == "yes":
    survive_outages()


@app.task(name="hold", ignore_result=True)
def hold(seconds: float) -> None:
    """Stay unacknowledged for this many seconds."""
    Path(os.environ["OUTAGE_MARK"]).touch()
    time.sleep(seconds)


@app.task(name="touch", ignore_result=True)
def touch(path: str) -> None:
    """Show that the worker works."""
    Path(path).touch()
