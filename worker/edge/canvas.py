"""A canvas (chain, group, chord) of our tasks is sent whole or not at all.

Celery sends the parts of a canvas one after another. A part that is refused would leave those before it running and
paid, and the body waiting for ever. So every part that is a task of ours is judged before the first is sent, and if
sending fails in the middle, what was sent is cancelled. A part that takes the result of a task before it is judged
without the fields that the result gives.

Celery (5.7.0) has no hook for this: `apply_async` of its three canvas classes is wrapped.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Literal, Protocol

import structlog
from celery import canvas
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.settings import Settings
from worker.edge.sending import collect_sent, follows_finished_work, producer

log = structlog.get_logger(__name__)

Before = Literal["nothing", "one result", "a list of results"]  # what a part gets from the parts before it


class Judge(Protocol):
    """A task that can judge its arguments."""

    def judge(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: Before) -> None:
        """Raise `InvalidRequestError` when these arguments cannot be accepted, whatever the parts before give."""


_JUDGES: dict[str, Judge] = {}


def register_judge(name: str, task: Judge) -> None:
    """Have parts of this name judged."""
    _JUDGES[name] = task


def judge_parts(part: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
    """Judge every part of a canvas, called with these arguments. Raises the first `InvalidRequestError`."""
    for leaf, before, given in _leaves(part, "nothing", (tuple(args), dict(kwargs or {}))):
        if judge := _JUDGES.get(str(leaf.get("task"))):
            is_alone = bool(leaf.get("immutable"))
            own = (tuple(leaf.get("args") or ()), dict(leaf.get("kwargs") or {}))
            arguments = own if is_alone else ((*given[0], *own[0]), {**own[1], **given[1]})
            judge.judge(*arguments, before="nothing" if is_alone else before)


Given = tuple[tuple[Any, ...], dict[str, Any]]
_NOTHING: Given = ((), {})


def _leaves(part: Any, before: Before, given: Given) -> Iterator[tuple[Mapping[str, Any], Before, Given]]:
    """The single tasks of a canvas, each with what comes before it and the arguments of the call."""
    match part.get("subtask_type"):
        case "chain":
            for place, each in enumerate(part["kwargs"]["tasks"]):
                has_group_before = place > 0 and _is_group(part["kwargs"]["tasks"][place - 1])
                later: Before = "a list of results" if has_group_before else "one result"
                yield from _leaves(each, later if place else before, _NOTHING if place else given)
        case "group":
            for each in part["kwargs"]["tasks"]:
                yield from _leaves(each, before, given)
        case "chord":
            body = given[1].get("body") or part["kwargs"].get("body")
            header = part["kwargs"]["header"]
            for each in header["kwargs"]["tasks"] if _is_group(header) else header:
                yield from _leaves(each, before, (given[0], {}))
            if body:
                yield from _leaves(body, "a list of results", _NOTHING)
        case _:
            yield part, before, given


def _is_group(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("subtask_type") in {"group", "chord"}


def send_whole() -> None:
    """Wrap Celery's canvas classes. A second call does nothing."""
    for cls in (canvas._chain, canvas.group, canvas._chord):
        if not hasattr(cls.apply_async, "sends_whole"):
            cls.apply_async = _whole(cls.apply_async)


def _whole(celerys: Any) -> Any:
    @wraps(celerys)
    def apply_async(self: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        with collect_sent() as sent:
            if sent is None or follows_finished_work(options):  # a part of a larger canvas, or one that was judged
                return celerys(self, args, kwargs, *more, **options)
            judge_parts(self, args or (), kwargs)
            try:
                return celerys(self, args, kwargs, *more, **options)
            except Exception:
                _cancel(sent)
                raise

    apply_async.sends_whole = True  # type: ignore[attr-defined]
    return apply_async


def _cancel(job_ids: Sequence[str]) -> None:
    """Cancel the parts that were sent. If the ledger is away as well, they run."""
    note_s = Settings().worker.result_days * 86400
    for job_id in job_ids:
        try:
            producer().cancel(job_id, note_s)
        except (RedisError, OSError, OperationalError) as error:
            log.error("canvas_half_sent", job=job_id, error=type(error).__name__)
