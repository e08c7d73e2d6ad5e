"""A Redis result backend that never overwrites the final state of a job.

Celery writes a state with GET, then SETEX (celery 5.7.0, `backends/base.py`): a late IN_PROGRESS overwrote SUCCESS in
199 of 300 simultaneous writes. With the script store_state.lua it did in none. For tasks that are not jobs, SUCCESS
alone is final, as in Celery: a task that failed may run again under its id.

This backend also does not SUBSCRIBE at every `delay()`, because `get()` subscribes by itself. Otherwise an API process
that keeps its results would collect subscriptions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Any

from celery import states
from celery.backends.redis import RedisBackend, SentinelBackend
from kombu.utils.encoding import bytes_to_str

from worker.edge.message import shortened

JOB_ENDINGS = (states.SUCCESS, states.FAILURE, states.REVOKED)
OTHER_ENDINGS = (states.SUCCESS,)


@cache
def store_script() -> str:
    """The Lua script that stores a state unless a final one is stored."""
    return (files("worker.edge") / "store_state.lua").read_text()


_in_chord = ContextVar("in_chord", default=False)


def is_chord_part() -> bool:
    """Whether Celery counts a finished part of a chord now, so that a task sent here is the chord's body."""
    return _in_chord.get()


@contextmanager
def _chord_part() -> Iterator[None]:
    token = _in_chord.set(True)
    try:
        yield
    finally:
        _in_chord.reset(token)


class MonotonicRedisBackend(RedisBackend):
    """A Redis backend in which the final state of a job and its result never change."""

    def on_chord_part_return(self, *args: Any, **kwargs: Any) -> Any:
        """Count a finished part. The last one sends the body, which nobody could send again (`is_chord_part`)."""
        with _chord_part():
            return super().on_chord_part_return(*args, **kwargs)

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:
        """Do not subscribe: `get()` does."""
        return {}

    def is_chord_open(self, request: Any) -> bool:
        """Whether a worker has begun to send the body of this part's chord, and nobody knows that it was sent.

        Celery marks a chord before it sends the body, for about 20 s (celery 5.7.0, `_chord_publish_claim_expires`). If
        that worker dies, the part has to return once more after that time, or the body is never sent.
        """
        group = getattr(request, "group", None)
        if not (getattr(request, "chord", None) and group):
            return False
        return self.client.get(self.get_key_for_group(group, ".c")) not in {None, b"done"}

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        """As Celery's. A job's long arguments are cut: the row has its request once."""
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)
        if hasattr(self.app.tasks.get(getattr(request, "task", None)), "job_queue"):
            meta |= {name: shortened(meta[name]) for name in ("args", "kwargs") if name in meta}
        return meta

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = bytes_to_str(task_id)
        lifetime_s = self.failure_expires if state == states.FAILURE else self.expires
        script = self.client.register_script(store_script())
        key, value = self.get_key_for_task(task_id), self.encode(meta)
        args = [value, int(lifetime_s or 0), *self._final_states(getattr(request, "task", None))]
        self.ensure(lambda: script(keys=[key], args=args), ())
        return result

    def _final_states(self, task: str | None) -> Sequence[str]:
        known = self.app.tasks.get(task) if task else None
        return JOB_ENDINGS if known is None or hasattr(known, "job_queue") else OTHER_ENDINGS


class MonotonicSentinelBackend(MonotonicRedisBackend, SentinelBackend):
    """The same, behind Sentinels."""
