"""Refuses Celery's eager mode for jobs: it would store FAILURE in the caller's process, while a worker runs the job."""

from typing import Any, NoReturn

from celery import Task
from celery.exceptions import ImproperlyConfigured

_WHY = (
    "a job cannot run in its caller's process (task_always_eager, apply); nothing was sent. Run `kilnhand up` for tests"
)


class NotEagerTask(Task):
    """A task that refuses Celery's eager mode."""

    abstract = True

    def refuse_eager(self) -> None:
        """Raise `ImproperlyConfigured` in an application with `task_always_eager`."""
        if self.app.conf.task_always_eager:
            raise ImproperlyConfigured(_WHY)

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: Celery would run the task here."""
        raise ImproperlyConfigured(_WHY)
