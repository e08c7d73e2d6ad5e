"""Celery's consumer, which goes on after a message that it cannot read. The configuration names it (`worker_consumer`).

Celery's own consumer acknowledges some of these messages with a log line; by the others the worker ends.
"""

from collections.abc import Callable, Mapping
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError

from config.settings import Settings
from worker.edge.request import is_id_of_job
from worker.edge.unreadable import UnreadableMessageError, check, raw_of, set_aside
from worker.jobs.aliases import task_of
from worker.net.redis_server import require_usable


def is_the_brokers(error: Exception) -> bool:
    """Whether the broker failed, and not the message: a worker then connects again, as Celery does."""
    is_redis = isinstance(error, RedisError) and not isinstance(error, DataError)
    return is_redis or isinstance(error, OSError | OperationalError)


class SafeConsumer(Consumer):
    """Sets aside every message that cannot be read, of whatever task."""

    def connect(self) -> Any:
        """Connect to the broker. Raises `UnusableRedisError`, which ends the worker, for a Redis that cannot be used.

        The check at the worker's start passes a Redis that does not answer yet.
        """
        connection = super().connect()
        require_usable(Settings().redis.urls)
        return connection

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Celery's handler of received messages, behind a check and a guard."""
        handle, aliases = super().create_task_handler(*args, **kwargs), Settings().request.aliases

        def receive(message: Any) -> Any:
            try:
                if "task" in message.headers:
                    check(message)
                    message.headers["task"] = self._task_name(message.headers["task"], aliases)
                return handle(message)
            except UnreadableMessageError as error:
                self._set_aside(message, "fields", str(error))
            except Exception as error:
                if isinstance(error, OperationalError):  # kombu's own is no connection error for Celery's consumer
                    raise RedisConnectionError(str(error)) from error
                if is_the_brokers(error):
                    raise
                _forget_request(message)
                self._set_aside(message, "other", _text(error))

        return receive

    def _task_name(self, given: str, aliases: Mapping[str, str]) -> str:
        """The name of the task, for a message that may have an alias of it. A registered name is no alias."""
        return given if given in self.app.tasks else task_of(given, aliases)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body cannot be decoded: not allowed, unknown, or broken."""
        self._set_aside(message, "body", _text(exc))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It is no message of Celery's."""
        self._set_aside(message, "format", "no headers with a task, and no body with one")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Celery stores FAILURE with `NotRegistered`; the message is kept, too: another worker may know the task."""
        name = message.headers.get("task") if isinstance(message.headers, dict) else None
        set_aside(_queue_of(message), raw_of(message), "unknown_task", f"no task {name!r} is registered here")
        if is_id_of_job(self.app, str(message.headers.get("id"))):  # Celery would end that job for its callers
            message.reject()
            return
        super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Celery's own checks refuse it."""
        self._set_aside(message, "fields", _text(exc))

    def _set_aside(self, message: Any, kind: str, reason: str) -> None:
        """Put it on the list, then acknowledge it. If Redis did not take it, the broker delivers it again later."""
        if set_aside(_queue_of(message), raw_of(message), kind, reason) and not message.acknowledged:
            message.reject()


def _forget_request(message: Any) -> None:
    """Remove what Celery has made of the message: a reserved request would take a thread's place for good."""
    for request in [each for each in state.reserved_requests if each.message is message]:
        state.task_ready(request)


def _queue_of(message: Any) -> str:
    """The queue as far as the message says it; kombu does not."""
    info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    return str(info.get("routing_key") or "")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
