"""The Celery task class of every job: it refuses bad requests, accepts the first delivery, closes with the second.

Both deliveries carry the same task id. The first writes the row and ends without a state; the dispatcher sends the
second when the ending is decided, and Celery itself stores it, wakes `get()`, and runs chain, link and chord.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import structlog
from celery.app.task import Context
from celery.exceptions import Ignore, Reject
from celery.utils.functional import maybe_list
from pydantic import BaseModel
from pydantic_core import to_json

from config.catalogue import PIPELINE, SHARED, Catalogue, Model, UnknownModelError, load_catalogue
from config.extra import extra_problems, own_parameter_problems
from worker.edge.app import DEFAULT_QUEUE
from worker.edge.callbacks import callbacks_header
from worker.edge.canvas import Before, judge_parts, send_whole
from worker.edge.eager import NotEagerTask
from worker.edge.endings import ending_of
from worker.edge.message import SENT_AT_HEADER, is_closing, route_by_priority, stored_message
from worker.edge.models import find_model
from worker.edge.owners import folder_for, owner_problems
from worker.edge.pipeline import PipelineFunction
from worker.edge.route_problems import provider_problems, route_problems
from worker.edge.sending import follows_finished_work, idempotency_key_of, send
from worker.edge.service import JobService
from worker.edge.shared_key import ending_of_first
from worker.edge.step_options import with_deadline
from worker.edge.tracer import accepting_tracer
from worker.errors import InternalError, InvalidRequestError, KilnhandError, ServiceUnavailableError
from worker.files.file_checks import FileCheck
from worker.files.least_size import inline_size_problems
from worker.jobs.answers import AnswerCheck
from worker.jobs.file_arguments import recorded_files
from worker.jobs.job import Job, Options, Piece, Step
from worker.jobs.request import BaseRequest, JobOptions, TaskRequest, check_known_fields, read, refusal, value_at

log = structlog.get_logger(__name__)

Order = Callable[[Any, Model], Step]
KnownCalls = Callable[[Any], Sequence[tuple["JobTask", Mapping[str, Any]]]]  # each a task and its request's fields
RequestCheck = Callable[[Any, JobOptions], Sequence[tuple[str, str]]]  # problems: pairs of field and message

send_whole()


@cache
def catalogue() -> Catalogue:
    """The packaged catalogue, read when it is first used."""
    return load_catalogue()


class JobTask(NotEagerTask):
    """What `delay()`, a chain or a bare `send_task` calls. Made by `job_task`."""

    abstract = True
    typing = False  # the request's model checks the fields, not a Python signature
    track_started = False  # QUEUED and IN_PROGRESS say more
    throws = (KilnhandError,)  # a job that failed is no defect of the worker: no traceback in its log
    Request = "worker.edge.request:JobRequest"
    Strategy = "worker.edge.request:strategy"

    job_queue: str
    _tracer: Any = None
    asks: type[TaskRequest]
    order: Order
    gives: type[BaseModel]
    check: AnswerCheck | None = None
    file_check: FileCheck | None = None
    pipeline: PipelineFunction | None = None  # of a task that is made of steps
    promises: tuple[Piece, ...] = ()  # its files
    request_check: RequestCheck | None = None  # of a pipeline: what is wrong with steps that are known before
    known_calls: KnownCalls | None = None  # of a pipeline: the calls that its request tells, whose time it may take

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the job. Raises `InvalidRequestError` before anything is sent.

        With the `idempotency_key` of an earlier job nothing is sent, and that job's result is returned.
        A message that follows finished work (chain, link, a chord's body) is checked where it arrives: a refusal is its
        own failure and not that of the finished work.
        """
        self.refuse_eager()
        if not follows_finished_work(options):
            given = self._given(args or (), kwargs or {})
            self._read(given)
            for link in maybe_list(options.get("link")) or ():
                judge_parts({"subtask_type": "chain", "kwargs": {"tasks": [{}, link]}})
            args, kwargs = (), _plain(given)
        elif options.get("parent_id") and not options.get("task_id"):
            # a link: two closing messages send it twice, and it stays one job
            named = json.dumps([options["parent_id"], self.name, args or (), kwargs or {}], sort_keys=True, default=str)
            options["task_id"] = str(uuid5(NAMESPACE_URL, named))
        if not {"queue", "exchange", "routing_key"} & options.keys():
            options["queue"] = self.job_queue
        options["headers"] = {**callbacks_header(self.app), **(options.get("headers") or {})}
        queue = self._row_queue(options.get("queue"))
        route_by_priority(options, queue, kwargs or {})
        publish = partial(super().apply_async, args, kwargs)
        return send(self, queue, args, kwargs or {}, options, publish)

    def judge(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: Before) -> None:
        """See `worker.edge.canvas.Judge`."""
        if before == "a list of results":
            raise self._refusal("request", "takes nothing from a list of results; use .si(…)")
        given = self._given(tuple(args), kwargs)
        if before == "nothing":
            self._read(given)
        else:
            check_known_fields(self.name, self.asks, given, coming=self.asks.follows)

    def problems_of(self, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with these fields: pairs of field and message. Empty if the task takes them."""
        try:
            self._read(given)
        except InvalidRequestError as error:
            lines = (line.strip().partition(": ") for line in error.message.splitlines()[1:])
            return [(field, message) for field, _, message in lines]
        return []

    def deliver(self, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The first delivery accepts, a later one closes. While Redis is away both return the message to the queue."""
        self.refuse_call()
        try:
            if not is_closing(self.request):
                first = self.accept(self.request, args, kwargs)
                if first is None:
                    raise Ignore
                return ending_of_first(self, self._queue(self.request), first)
            job = self._service.take(self.request.id)
        except ServiceUnavailableError as error:
            self._service.pause()
            raise Reject(error.message, requeue=True) from error
        if job is None:  # ended, or another delivery is ending it
            raise Ignore
        return ending_of(job)

    def accept(self, request: Context, args: Any, kwargs: Mapping[str, Any]) -> Job | None:
        """Write the row of a first delivery, unless there is one. Raises `InvalidRequestError`; then no row is left.

        Returns the earlier job of the same request that owns the idempotency key, if there is one.
        """
        key = idempotency_key_of(self.name, kwargs, args)
        try:
            _, row = self._service.accept(self._job(request, args, kwargs), key)
        except InvalidRequestError as error:
            if self._service.refuse(request.id, key, getattr(request, SENT_AT_HEADER, None)):
                raise
            log.warning("refused_under_a_jobs_id", job=request.id, error=error.message)
            raise Ignore from error
        return row if row.id != request.id else None

    @property
    def __trace__(self) -> Any:
        """Celery's tracer for this task, set by the consumer. First deliveries do not use it."""
        return self._tracer

    @__trace__.setter
    def __trace__(self, celerys: Any) -> None:
        self._tracer = accepting_tracer(self, celerys)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Celery has stored the ending: the ledger is told. While its chord is open, the ending comes again."""
        if is_closing(self.request) and not self.backend.is_chord_open(self.request):
            self._service.confirm(task_id)

    def closing_delivered(self, task_id: str) -> None:
        """Celery is done with a closing message, also if it failed to store the ending and skipped `after_return`."""
        self._service.leave(task_id)

    @property
    def _service(self) -> JobService:
        service: JobService | None = getattr(self.app, "job_service", None)
        if service is None:
            raise InternalError("no dispatcher in this process: start workers with `celery -A worker.app worker`")
        return service

    def _job(self, message: Context, args: Any, kwargs: Mapping[str, Any]) -> Job:
        request, options, step = self._read(self._given(args, kwargs))
        plain = request.model_dump(mode="json", exclude_unset=True)
        queue = self._queue(message)
        sent_at = getattr(message, SENT_AT_HEADER, None)
        stored = stored_message(message)
        row = Job(message.id, self.name, queue, plain, step, options, 0.0, sent_at=sent_at, message=stored)
        return replace(row, folder=folder_for(row.options))

    def _queue(self, message: Context) -> str:
        """The queue whose workers own the row: the message's, if this worker consumes it, else the task's."""
        came_by = str((message.delivery_info or {}).get("routing_key") or "")
        came_by = getattr(self.app, "side_queues", {}).get(came_by, came_by)
        return self._row_queue(came_by) if came_by in self.app.amqp.queues.consume_from else self.job_queue

    def _row_queue(self, named: Any) -> str:
        """The queue whose workers own the row of a message that is sent to this one."""
        name = str(getattr(named, "name", named) or "")
        return name if name and name != DEFAULT_QUEUE else self.job_queue

    def _given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The fields: by name, from a request object, and from the result of the job before it in a chain."""
        given = {name: value for name, value in kwargs.items() if value is not None or name not in self.asks.follows}
        for arg in args:
            if isinstance(arg, self.asks):
                given = arg.model_dump(mode="json", exclude_unset=True) | given
            elif isinstance(arg, Mapping):
                given = self._from_before(arg) | given
            else:
                raise self._refusal("request", f"fields are given by name, or as a {self.asks.__name__}")
        return given

    def _from_before(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that our request takes from the result of the job before it in a chain."""
        found = {field: value_at(result, path) for field, path in self.asks.follows.items()}
        taken = {field: value for field, value in found.items() if value is not None}
        if not taken:
            raise self._refusal(
                "request", f"takes nothing from the result of {result.get('task', 'a task')}; use .si(…)"
            )
        return taken

    def _read(self, given: Mapping[str, Any]) -> tuple[TaskRequest, Options, Step]:
        request, options = read(self.name, self.asks, given)
        if not isinstance(request, BaseRequest):
            in_steps = self._steps(request, options)
            models = [task.call_of(given)[0] for task, given in (self.known_calls(request) if self.known_calls else ())]
            return request, with_deadline(options, sum(each.usual_s for each in models)), in_steps
        try:
            model = find_model(catalogue(), self.name, request.model)
        except UnknownModelError as error:
            raise self._refusal("model", str(error)) from error
        step = type(self).order(request, model)
        step = step if step.files is not None else replace(step, files=recorded_files(request, step.arguments))
        own = (self.asks.model_fields.keys() | step.arguments) - {"model", "extra"}  # an endpoint may have a `model`
        of_extra = [*own_parameter_problems(model, own, request.extra)]
        of_extra += extra_problems(model.first_route.provider, request.extra)
        checked = owner_problems(step, options.tenant) + catalogue().problems(model, step.arguments)
        checked += inline_size_problems(model, step.arguments)
        checked += route_problems(model, options, step)
        if problems := of_extra + checked:
            raise refusal(self.name, problems)
        if self.pipeline is not None and request.has_steps:
            in_steps = self._steps(request, options)
            return request, with_deadline(options, model.usual_s), in_steps
        is_shared = options.reuse_s is not None and model.first_route.provider != "local"  # local work is free
        return request, options.values(), _shared_step(request, step) if is_shared else step

    def call_of(self, given: Mapping[str, Any]) -> tuple[Model, Step]:
        """The model of a call with these fields, and the call as a step. Raises for fields that are refused."""
        given = {name: value for name, value in given.items() if value is not None}
        request, _ = read(self.name, self.asks, given)
        assert isinstance(request, BaseRequest)  # noqa: S101  # a pipeline's calls are no pipelines
        model = find_model(catalogue(), self.name, request.model)
        return model, type(self).order(request, model)

    def _steps(self, request: TaskRequest, options: JobOptions) -> Step:
        """The step of a pipeline's own row: its files go to its steps as they are."""
        model = catalogue().find(f"{PIPELINE}{self.name}")
        step = Step(model.name, request.model_dump(mode="json", exclude_none=True), self.promises)
        recorded = replace(step, files=recorded_files(request, step.arguments))
        problems = [*owner_problems(recorded, options.tenant), *provider_problems(catalogue(), options)]
        if self.request_check and not problems:
            problems += self.request_check(request, options)
        if problems:
            raise refusal(self.name, problems)
        return replace(step, files={})

    def _refusal(self, field: str, message: str) -> InvalidRequestError:
        return refusal(self.name, [(field, message)])


def _shared_step(request: TaskRequest, step: Step) -> Step:
    """The step of a job whose run is another job: its files go to that one as they are."""
    arguments = request.model_dump(mode="json", exclude_none=True)
    return Step(f"{SHARED}{step.model}", arguments, step.pieces, files={})


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as plain JSON: models, paths and the like are converted."""
    plain: dict[str, Any] = json.loads(to_json(dict(given)))
    return plain
