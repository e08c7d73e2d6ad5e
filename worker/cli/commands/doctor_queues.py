"""The check of `kilnhand doctor` for jobs in the queue `celery`, which workers do not take from."""

import json
from collections.abc import Iterator
from typing import Any

from config.settings import RedisSettings
from worker.cli.commands.doctor_checks import TIMEOUT_S, Check
from worker.jobs.aliases import task_of
from worker.net.redis_client import open_redis

LOOK_AT = 100  # messages, the next to be taken


def check_celery_queue(settings: RedisSettings) -> Iterator[Check]:
    """Whether jobs wait where no worker looks."""
    from worker.app import app
    from worker.edge.app import DEFAULT_QUEUE
    from worker.edge.job_task import JobTask

    if settings.take_celery:
        return
    with open_redis(settings.broker, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        waiting: Any = client.lrange(f"{settings.prefix}{DEFAULT_QUEUE}", -LOOK_AT, -1)
    jobs = [name for name in map(_task_of, waiting) if isinstance(app.tasks.get(name or ""), JobTask)]
    if jobs:
        more = " or more" if len(jobs) == LOOK_AT else ""
        advice = (
            "send jobs to the queue of their task: see docs/celery.md. For those that wait: `kilnhand worker -Q celery`"
            ", if no other Celery application uses this queue"
        )
        detail = f"workers do not take from it; jobs that wait in it: {len(jobs)}{more}"
        yield Check("queue celery", "note", detail, advice)


def _task_of(raw: bytes) -> str | None:
    try:
        name = json.loads(raw)["headers"]["task"]
    except (ValueError, LookupError, TypeError):
        return None
    return task_of(name) if isinstance(name, str) else None
