"""The results database of a world: the few commands of Redis that Celery's result backend uses.

The backend is the real one (`worker.edge.backend`), so chords are counted by Celery's own rules; its scripts are played
in Python.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import states
from celery.backends import redis as celery_redis

from tests.simulation.fibers import current_fiber, wait_for
from tests.simulation.redis_server import RedisServer
from tests.simulation.virtual_loop import current_process
from worker.edge.backend import store_script

META = "celery-task-meta-"
CLOCK = "clock"  # among the values, for what expires


class Results:
    """Keys and values, with the state of every task. `on_state` is called with each state that is stored."""

    def __init__(self, clock: Callable[[], float], on_state: Callable[[str, str, Any], None]) -> None:
        self.values: dict[str, Any] = {CLOCK: clock}
        self._on_state = on_state

    def state(self, task_id: str) -> str:
        """The state as `AsyncResult` reads it."""
        return str(self.meta(task_id).get("status", states.PENDING))

    def meta(self, task_id: str) -> dict[str, Any]:
        """What is stored for a task."""
        raw = self.values.get(META + task_id)
        found: dict[str, Any] = json.loads(raw) if raw else {}
        return found

    def store(self, key: str, value: Any) -> int:
        """`store_state.lua`: never over a final state."""
        if self.state(key.removeprefix(META)) in states.READY_STATES:
            return 0
        self.values[key] = value
        meta = json.loads(value)
        self._on_state(meta["task_id"], meta["status"], meta.get("result"))
        return 1


class ResultsClient:
    """redis-py's client as the result backend uses it. `world` returns the server and the results of now."""

    def __init__(self, world: Callable[[], tuple[RedisServer, Results]]) -> None:
        self._world = world

    def _call(self, name: str, work: Callable[[dict[str, Any]], Any]) -> Any:
        server, results = self._world()
        process = current_process()
        if current_fiber() is None or process is None:
            return work(results.values)
        command = server.command(
            process, f"results {name}", lambda: work(results.values), is_ledger=False, retries=1, timeout_s=30.0
        )
        return wait_for(command)

    def get(self, key: str) -> Any:
        return self._call("get", lambda values: _get(values, _key(key)))

    def mget(self, keys: Sequence[str]) -> list[Any]:
        found: list[Any] = self._call("mget", lambda values: [_text(values.get(_key(key))) for key in keys])
        return found

    def set(self, key: str, value: Any, ex: Any = None, nx: bool = False) -> bool:
        return bool(self._call("set", lambda values: _set(values, _key(key), value, nx)))

    def delete(self, *keys: str) -> int:
        return int(self._call("delete", lambda values: sum(values.pop(_key(key), None) is not None for key in keys)))

    def incr(self, key: str, by: int = 1) -> int:
        return int(self._call("incr", lambda values: _incr(values, _key(key), by)))

    def expire(self, key: str, seconds: Any) -> bool:
        return True

    def pipeline(self) -> "Pipeline":
        return Pipeline(self)

    def register_script(self, text: str) -> Callable[..., Any]:
        """Python in place of the script."""
        if text == store_script():
            results = self._world

            def store(keys: Sequence[str], args: Sequence[Any], client: Any = None) -> Any:
                return self._call("store", lambda _: results()[1].store(_key(keys[0]), args[0]))

            return store
        played = _SCRIPTS[text]

        def run(keys: Sequence[Any], args: Sequence[Any], client: Any = None) -> Any:
            return self._call(played.__name__.strip("_"), lambda values: played(values, [_key(k) for k in keys], args))

        return run


class Pipeline:
    """The pipeline in which the backend reads the results of a chord."""

    def __init__(self, client: ResultsClient) -> None:
        self._client, self._reads = client, list[str]()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def zrange(self, key: Any, first: int, last: int) -> "Pipeline":
        self._reads.append(_key(key))
        return self

    def execute(self) -> list[Any]:
        def read(values: dict[str, Any]) -> list[Any]:
            parts = values.get(self._reads[0], {})
            return [value for _, value in sorted((float(score), value) for value, score in parts.items())]

        return [self._client._call("zrange", read)]


def _chord_part(values: dict[str, Any], keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
    """`CHORD_PART_RETURN_LUA` of celery 5.7.0."""
    parts_key, diff_key, size_key, done_key, _, claim_key = keys
    if _claim(values, claim_key) == "done":
        return [-1, 0, 0, 0]
    member = f"{args[0]}:{args[3]}"
    members = values.setdefault(done_key, set())
    if member not in members:
        values.setdefault(parts_key, {})[_text(args[1])] = args[3]
        members.add(member)
    ready, size, more = len(values.get(parts_key, {})), values.get(size_key), values.get(diff_key)
    is_whole = size is not None and ready == int(size) + int(more or 0)
    is_claimed = is_whole and not _claim(values, claim_key)
    if is_claimed:
        _set_claim(values, claim_key, args[7], float(args[6]))
    return [ready, more, size, int(is_claimed)]


def _chord_cleanup(values: dict[str, Any], keys: Sequence[str], args: Sequence[Any]) -> int:
    """`CHORD_CLEANUP_LUA`."""
    if _claim(values, keys[0]) != args[0]:
        return 0
    for key in keys[1:]:
        values.pop(key, None)
    _set_claim(values, keys[0], "done", float(args[1]))
    return 1


def _chord_extend(values: dict[str, Any], keys: Sequence[str], args: Sequence[Any]) -> int:
    """`CHORD_CLAIM_EXTEND_LUA`."""
    holder = _claim(values, keys[0])
    if holder == args[0] or (not holder and keys[1] in values):
        _set_claim(values, keys[0], args[0], float(args[1]))
        return 1
    return 0


def _get(values: dict[str, Any], key: str) -> Any:
    if isinstance(values.get(key), tuple):
        return _text(_claim(values, key)) or None
    return _text(values.get(key))


def _claim(values: dict[str, Any], key: str) -> str:
    """Who has claimed a chord, until the claim expires."""
    token, until = values.get(key, ("", 0.0))
    return token if until > values[CLOCK]() else ""


def _set_claim(values: dict[str, Any], key: str, token: str, seconds: float) -> None:
    values[key] = (token, values[CLOCK]() + seconds)


_SCRIPTS: Mapping[str, Callable[[dict[str, Any], Sequence[str], Sequence[Any]], Any]] = {
    celery_redis.CHORD_PART_RETURN_LUA: _chord_part,
    celery_redis.CHORD_CLEANUP_LUA: _chord_cleanup,
    celery_redis.CHORD_CLAIM_EXTEND_LUA: _chord_extend,
}


def _key(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _text(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _set(values: dict[str, Any], key: str, value: Any, nx: bool) -> bool:
    if nx and key in values:
        return False
    values[key] = value
    return True


def _incr(values: dict[str, Any], key: str, by: int) -> int:
    values[key] = int(values.get(key, 0)) + by
    return int(values[key])
