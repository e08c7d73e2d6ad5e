"""What a task sends to the first route of its model, without sending it."""

from typing import Any

import pytest

from config.mapping import arguments_for
from worker.edge.job_task import JobTask, catalogue
from worker.errors import InvalidRequestError
from worker.jobs.job import Step


def step_of(task: JobTask, **fields: Any) -> Step:
    """The step that the request becomes. Raises `InvalidRequestError`."""
    return task._read(fields)[2]


def sent(task: JobTask, **fields: Any) -> tuple[str, dict[str, Any]]:
    """The endpoint of the first route and its arguments."""
    step = step_of(task, **fields)
    route = catalogue().find(step.model).first_route
    return route.endpoint, arguments_for(route, step.arguments, step.extra)


def refused(task: JobTask, **fields: Any) -> str:
    """The refusal of a request, without its first line."""
    with pytest.raises(InvalidRequestError) as caught:
        step_of(task, **fields)
    return caught.value.message.partition("\n")[2].strip()
