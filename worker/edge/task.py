"""Makes Celery tasks of the functions in `tasks`: of one call (`job_task`), or of steps (`pipeline_task`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from worker.edge.app import app
from worker.edge.canvas import register_judge
from worker.edge.job_task import JobTask, KnownCalls, Order, RequestCheck
from worker.edge.pipeline import PipelineFunction
from worker.files.file_checks import FileCheck
from worker.jobs.answers import AnswerCheck
from worker.jobs.job import Piece
from worker.jobs.request import BaseRequest, TaskRequest


def job_task(
    name: str,
    *,
    queue: str,
    asks: type[BaseRequest],
    gives: type[BaseModel],
    check: AnswerCheck | None = None,
    files: FileCheck | None = None,
    steps: PipelineFunction | None = None,
    promises: Sequence[Piece] = (),
) -> Callable[[Order], JobTask]:
    """Make a task of a function that turns a request and its model into the step to take.

    `asks` is the request, `gives` documents the result that `AsyncResult.get()` returns as a dict. `check` checks an
    answer that is more than files, `files` checks input files before anything is sent. Requests with `has_steps` are
    served by `steps`, a function as `pipeline_task` takes one, which brings the files of `promises`. Their one call is
    judged too.
    """

    def make(order: Order) -> JobTask:
        fields = {"job_queue": queue, "asks": asks, "gives": gives, "check": check, "file_check": files}
        in_steps = {"pipeline": staticmethod(steps), "promises": tuple(promises)} if steps else {}
        return _task(name, order, {**fields, **in_steps, "order": staticmethod(order)})

    return make


def pipeline_task(
    name: str,
    *,
    queue: str,
    asks: type[TaskRequest],
    gives: type[BaseModel],
    promises: Sequence[Piece],
    check: RequestCheck | None = None,
    calls: KnownCalls | None = None,
) -> Callable[[PipelineFunction], JobTask]:
    """Make a task of an `async` function that takes a request and a `worker.edge.pipeline.Pipeline`.

    It returns the files of `promises`, each as a step's result has it, and any other values that `gives` names. `check`
    says what is wrong with steps that are known from the request alone, before anything is sent; `calls` are those
    steps, for the deadline of the whole.
    """

    def make(function: PipelineFunction) -> JobTask:
        fields = {"job_queue": queue, "asks": asks, "gives": gives, "promises": tuple(promises)}
        fields["request_check"] = staticmethod(check) if check else None
        fields["known_calls"] = staticmethod(calls) if calls else None
        return _task(name, function, {**fields, "pipeline": staticmethod(function)})

    return make


def _task(name: str, function: Any, fields: Mapping[str, Any]) -> JobTask:
    def run(self: JobTask, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.deliver(args, kwargs)

    run.__name__, run.__module__, run.__doc__ = function.__name__, function.__module__, function.__doc__
    # the task is made when it is first used: making it reads the settings
    task: JobTask = app.task(base=JobTask, bind=True, name=name, shared=False, **fields)(run)
    register_judge(name, task)
    return task


def answer_checks(app: Any) -> dict[str, AnswerCheck]:
    """The checks of answers that the tasks of an app bring, by task."""
    return {task.name: task.check for task in app.tasks.values() if isinstance(task, JobTask) and task.check}


def file_checks(app: Any) -> dict[str, FileCheck]:
    """The checks of input files that the tasks of an app bring, by task."""
    return {task.name: task.file_check for task in app.tasks.values() if isinstance(task, JobTask) and task.file_check}
