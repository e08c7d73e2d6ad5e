"""The entry point for Celery: `celery -A worker.app worker` starts a worker, `celery -A worker.app flower` Flower."""

import importlib
import os
import pkgutil
from typing import Any

import structlog
from celery.signals import setup_logging

import tasks
from config.logging import configure
from config.settings import Settings
from worker.edge.app import DEFAULT_QUEUE, app
from worker.edge.callbacks import route_callbacks
from worker.edge.channel import use_safe_channel
from worker.edge.compat import survive_outages
from worker.edge.consumers import register_add_consumer
from worker.edge.flower_answers import answer_bad_requests
from worker.edge.queues import own_queue
from worker.edge.renewal import renew_held_messages
from worker.edge.revoke import register_revoke
from worker.edge.steps import BindingsStep, DispatcherStep, HeartbeatStep
from worker.edge.task import JobTask
from worker.testing import crash

log = structlog.get_logger(__name__)


def _set_up_worker() -> None:
    """Add what a worker needs and a producer does not: all tasks, their queues, bootsteps, fixes for Celery."""
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(module.name)
    jobs = [task for task in app.tasks.values() if isinstance(task, JobTask)]
    queues = {task.job_queue for task in jobs} | ({DEFAULT_QUEUE} if Settings().redis.take_celery else set())
    app.conf.task_queues = [own_queue(name) for name in sorted(queues)]
    app.steps["worker"].add(DispatcherStep)
    app.steps["consumer"].update({BindingsStep, HeartbeatStep})
    crash.arm(os.environ.get("KILNHAND_CRASH_AT"))  # for tests only, so it is not a setting
    survive_outages()
    use_safe_channel()
    renew_held_messages([task.name for task in jobs])
    register_revoke()
    route_callbacks(app)
    register_add_consumer()
    answer_bad_requests()
    app.set_default()


@setup_logging.connect(weak=False)
def _logging(**options: Any) -> None:
    """Configure our logging instead of Celery's."""
    configure(Settings().worker.log_format)


_set_up_worker()
