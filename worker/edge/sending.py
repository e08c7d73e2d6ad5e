"""Sends a job: writes its row at stage *sent*, then publishes its message, so that a lost message is sent again.

A broker may lose a message: Celery on Redis pops it before it stores it as unacknowledged. Then the row comes due, and
a worker publishes the message again. An error from `delay()` means that nothing was sent, unless Redis went away in the
middle of it. With an `idempotency_key` it is safe to call `delay()` again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from celery import Task
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from config.redis_url import read_redis_url
from config.settings import Settings
from worker.edge.backend import is_chord_part
from worker.edge.message import LOW_STEP, SENT_AT_HEADER, message_to_send
from worker.errors import InternalError, KeyReusedError
from worker.jobs.job import HistoryEntry, Job, Options, Stage, Step
from worker.ledger.base import IdempotencyKey, Producer
from worker.ledger.producer import open_redis_producer
from worker.net.away import is_away, problem_of
from worker.net.redis_server import require_usable
from worker.testing import crash

T = TypeVar("T")
log = structlog.get_logger(__name__)

ACCEPT_WITHIN_S = 8.0  # if no worker accepts in this time, the message is sent again
LEDGER_WAIT_S = 10.0  # how long a message from a finished job (chain, link) waits for the ledger
MIN_KEY_LIFETIME_S = 86400.0
_CANVAS_OPTIONS = {"chain", "chord", "group_id", "parent_id"}  # options of tasks whose id other tasks depend on


_sent: ContextVar[list[str] | None] = ContextVar("sent", default=None)


@contextmanager
def collect_sent() -> Iterator[list[str] | None]:
    """Collect the ids of the jobs that are sent in this block; None if a block around it collects them already."""
    if _sent.get() is not None:
        yield None
        return
    sent: list[str] = []
    token = _sent.set(sent)
    try:
        yield sent
    finally:
        _sent.reset(token)


@cache
def producer() -> Producer:
    """This process's client of the ledger, made from the settings at its first use.

    Raises `UnusableRedisError` for a Redis that cannot be used.
    """
    settings = Settings().redis
    require_usable(settings.urls)
    return open_redis_producer(settings.ledger, settings.own_keys)


def ledger_away(error: BaseException) -> str:
    """Where the ledger was looked for, and which variable says so. Without the URL's login."""
    redis = Settings().redis
    variable = "KILNHAND_LEDGER_URL" if redis.ledger_url else "KILNHAND_REDIS_URL"
    place = read_redis_url(redis.ledger).place
    return f"the ledger cannot be reached: Redis at {place} ({variable}), {type(error).__name__}"


def send(
    task: Task,
    queue: str,
    args: Sequence[Any],
    given: Mapping[str, Any],
    options: dict[str, Any],
    publish: Callable[..., Any],
) -> Any:
    """Write the row, publish the message with these options, and return the result of publishing.

    If an earlier job owns the idempotency key, nothing is sent and that job's `AsyncResult` is returned. Raises
    `KeyReusedError` when that job was another request, and `OperationalError` while Redis does not answer,
    and `InternalError` when it answers that it cannot store the job.

    A message that follows finished work (chain, link, a chord's body) has no caller who could try again, and its error
    would become an error of the finished work. So it waits up to `LEDGER_WAIT_S` for the ledger, and is then published
    without a row: with Celery's own guarantee. Once its row is written, a failed publish is no error: a worker sends
    the message again. A key that another job owns is refused where the message arrives.
    """
    follows = follows_finished_work(options)
    options["task_id"] = str(options.get("task_id") or uuid4())
    key = idempotency_key_of(task.name, given, args)
    crash.point("before_sent_row")
    try:
        if (tenant := given.get("tenant")) and not producer().take_share(queue, tenant):
            options["priority"] = LOW_STEP  # the queue's last list: its messages wait behind those of other tenants
        job, job_id = _write_row(task, queue, args, given, options, key)
    except (KeyReusedError, RedisError, OSError) as error:
        if follows:
            return publish(**options)
        if isinstance(error, KeyReusedError):
            raise
        if not is_away(error):
            raise InternalError(f"the ledger refused the job, nothing was sent ({problem_of(error)})") from error
        raise OperationalError(f"{ledger_away(error)}: nothing was sent") from error
    crash.point("after_sent_row")
    if job_id != job.id:
        return task.AsyncResult(job_id)
    return _publish(task, job, key, options, publish, follows=follows)


def _publish(
    task: Task,
    job: Job,
    key: IdempotencyKey | None,
    options: dict[str, Any],
    publish: Callable[..., Any],
    *,
    follows: bool,
) -> Any:
    """Publish the message of a row that is written. `follows`: see `follows_finished_work`."""
    options["headers"] = {**(options.get("headers") or {}), SENT_AT_HEADER: job.sent_at}
    options.pop("expires", None)  # stored in the row; Celery would compare it with the worker's clock
    try:
        result = publish(**options)
    except Exception as error:
        if follows:
            log.warning("message_not_sent", job=job.id, error=type(error).__name__)
            return task.AsyncResult(job.id)
        _withdraw(job, key)
        raise
    if (sent := _sent.get()) is not None:
        sent.append(job.id)
    crash.point("after_message")
    return result


def follows_finished_work(options: Mapping[str, Any]) -> bool:
    """Whether Celery sends this message because a job or a task has finished, and not a caller."""
    return bool(options.get("parent_id")) or is_chord_part()


def _write_row(
    task: Task,
    queue: str,
    args: Sequence[Any],
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    key: IdempotencyKey | None,
) -> tuple[Job, str]:
    """Write the row. Returns its job, and the id to follow: its own, or that of the job that owns the key."""
    patience_s = LEDGER_WAIT_S if follows_finished_work(options) else 0.0
    now = _patiently(lambda: producer().now(), patience_s)
    job = _sent_job(task.name, queue, message_to_send(task.name, queue, args, given, options, now), now)
    wait_s = _delay_s(options) + ACCEPT_WITHIN_S
    job_id = _patiently(lambda: producer().send(job, wait_s, key), patience_s)
    if job_id != job.id and _CANVAS_OPTIONS & {name for name, value in options.items() if value}:
        raise KeyReusedError(f"idempotency_key: job {job_id} already owns it; a chain, group or chord needs a new key")
    return job, job_id


def idempotency_key_of(task: str, given: Mapping[str, Any], args: Sequence[Any] = ()) -> IdempotencyKey | None:
    """The idempotency key of a request, separate for each tenant, with a fingerprint of the other fields."""
    key = given.get("idempotency_key")
    if not key:
        return None
    fields = {name: value for name, value in given.items() if name != "idempotency_key"}
    request = json.dumps([task, fields, list(args)], sort_keys=True, default=str)
    tenant_key = json.dumps([given.get("tenant"), str(key)], default=str)
    keep_s = max(MIN_KEY_LIFETIME_S, Settings().worker.result_days * 86400)
    return IdempotencyKey(_digest(tenant_key), _digest(request), keep_s)


def _sent_job(task: str, queue: str, message: Mapping[str, Any], now: float) -> Job:
    """The row of a message that is about to be published. The request is parsed where it is accepted."""
    return Job(
        id=message["id"],
        task=task,
        queue=queue,
        request={},
        step=Step(str(message["kwargs"].get("model") or ""), {}, ()),
        options=Options(tenant if isinstance(tenant := message["kwargs"].get("tenant"), str) else None),
        created_at=now,
        stage=Stage.SENT,
        sent_at=now,
        history=(HistoryEntry(now, "sent", f"to the queue {queue}"),),
        message=message,
    )


def _patiently(call: Callable[[], T], patience_s: float) -> T:
    """Call the ledger, and retry for `patience_s` while it does not answer. Both calls are safe to repeat."""
    again = Retrying(
        retry=retry_if_exception(is_away),
        stop=stop_after_delay(patience_s),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    return again(call)


def _withdraw(job: Job, key: IdempotencyKey | None) -> None:
    """Remove the row after a failed publish. If this fails too, a worker will send the message later."""
    try:
        producer().withdraw(job, key)
    except (RedisError, OSError) as error:
        log.warning("sent_row_stays", job=job.id, error=type(error).__name__)


def _delay_s(options: Mapping[str, Any]) -> float:
    """Seconds until the message may be taken: `countdown` or `eta`."""
    if options.get("countdown"):
        return float(options["countdown"])
    eta = options.get("eta")
    if isinstance(eta, str):
        eta = datetime.fromisoformat(eta)
    if not isinstance(eta, datetime):
        return 0.0
    aware = eta if eta.tzinfo else eta.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - time.time())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
