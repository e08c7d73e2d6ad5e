"""A backend's own Celery application, as a process of its own: it has Celery, the same Redis, and nothing of ours."""

import os
from typing import Any

from celery import Celery

REDIS = os.environ["KILNHAND_REDIS_URL"]

app = Celery("backend", broker=REDIS, backend=REDIS, set_as_current=False)
app.conf.update(task_default_queue="backend", broker_connection_retry_on_startup=True)


@app.task(name="backend.urls")
def urls(results: Any) -> list[str]:
    """The URL of the first picture of one or many results."""
    many = results if isinstance(results, list) else [results]
    return [result["images"][0]["url"] for result in many]


@app.task(name="backend.note_failure")
def note_failure(task_id: str) -> None:
    """An errback in another application than the failed task's: Celery gives it the task's id."""
    app.backend.client.rpush("noted", task_id)
