"""Refuses what would run a job in its caller's process: eager mode, a call as a function, `map`, `starmap`, `chunks`.

Eager mode would store FAILURE, while a worker runs the job. A call inside a worker would have no message to go on with.
"""

from typing import Any, NoReturn

from celery import Task
from celery.exceptions import ImproperlyConfigured

from worker.jobs.request import refusal

_WHY = (
    "a job cannot run in its caller's process (task_always_eager, apply); nothing was sent. Run `kilnhand up` for tests"
)


class NotEagerTask(Task):
    """A task that is sent, and never called."""

    abstract = True

    def refuse_eager(self) -> None:
        """Raise `ImproperlyConfigured` in an application with `task_always_eager`."""
        if self.app.conf.task_always_eager:
            raise ImproperlyConfigured(_WHY)

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: Celery would run the task here."""
        raise ImproperlyConfigured(_WHY)

    def refuse_call(self) -> None:
        """Raise `InvalidRequestError` if the task was called as a function: `task(…)`, or by Celery's `map`."""
        if self.request.called_directly:
            raise refusal(
                self.name, [("request", "a job is sent, and not called: use .delay(…), or group(…) for several")]
            )

    def _refuse_mapping(self, *_: Any) -> NoReturn:
        """Celery would call the jobs inside one task, one after another."""
        raise refusal(self.name, [("request", "cannot be mapped; use group(task.s(…) for each in …)")])

    map = starmap = chunks = _refuse_mapping  # Celery's names
