"""Records a stack during the run: states that are published or polled, and every version of a row.

It only reads. Redis can be down at any time; a state that one thread misses is seen by the other.
"""

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.chaos.history import BAD_ROW, FINAL_STAGES, FINAL_STATES, RowVersion, StateRecord

META = "celery-task-meta-"
ROW = "kilnhand:job:"
POLL_S = 0.4
AWAY = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError)


class Recorder:
    """Two threads: one receives published states, one polls states and rows."""

    def __init__(self, redis_url: str, store: Path, ids: Callable[[], list[str]]) -> None:
        self._url, self._store, self._ids = redis_url, store, ids
        self._stopping = threading.Event()
        self._rows: dict[str, tuple[bytes, bytes]] = {}
        self.states: dict[str, list[StateRecord]] = defaultdict(list)
        self.row_versions: dict[str, list[RowVersion]] = defaultdict(list)
        self.final: set[str] = set()
        self.moved_at = time.monotonic()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._poll)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Poll once more, then end the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    def open_rows(self) -> int:
        """Return how many rows are not final."""
        return sum(stage.decode() not in FINAL_STAGES for stage, _ in list(self._rows.values()))

    def stages(self) -> dict[str, int]:
        """Return how many rows are at each stage."""
        counts: dict[str, int] = defaultdict(int)
        for stage, _ in list(self._rows.values()):
            counts[stage.decode()] += 1
        return dict(counts)

    def _listen(self) -> None:
        with redis.Redis.from_url(self._url, socket_timeout=5) as client:
            while not self._stopping.is_set():
                try:
                    with client.pubsub(ignore_subscribe_messages=True) as channel:
                        channel.psubscribe(f"{META}*")
                        while not self._stopping.is_set():
                            if message := channel.get_message(timeout=0.5):
                                job = message["channel"].decode().removeprefix(META)
                                self._note(job, "published", message["data"])
                except AWAY:
                    time.sleep(0.2)

    def _poll(self) -> None:
        with redis.Redis.from_url(self._url, socket_timeout=10) as client:
            last = False
            while not last:
                last = self._stopping.is_set()
                try:
                    self._poll_states(client)
                    self._poll_rows(client)
                except AWAY:
                    last = False
                time.sleep(0 if last else POLL_S)

    def _poll_states(self, client: redis.Redis) -> None:
        if ids := self._ids():
            metas: Any = client.mget([f"{META}{job}" for job in ids])
            for job, meta in zip(ids, metas, strict=True):
                if meta:
                    self._note(job, "polled", meta)

    def _note(self, job: str, source: str, raw: bytes) -> None:
        """Store a state if it differs from the last one of this source."""
        meta = json.loads(raw)
        state = meta["status"]
        digest = digest_of(state, meta.get("result"))
        before = [record for record in self.states[job] if record.source == source][-1:]
        if before and (before[0].state, before[0].digest) == (state, digest):
            return
        if before and state not in FINAL_STATES and before[0].state == state:
            return  # progress
        missing = self._missing(meta.get("result")) if state == "SUCCESS" and source == "published" else ()
        self.states[job].append(StateRecord(time.time(), source, state, digest, missing))
        if state in FINAL_STATES:
            self.final.add(job)

    def _missing(self, result: Any) -> tuple[str, ...]:
        return tuple(file["key"] for file in files_of(result) if not (self._store / file["key"]).is_file())

    def _poll_rows(self, client: redis.Redis) -> None:
        keys = [
            key for key in client.scan_iter(f"{ROW}*", count=2000) if not key.startswith(f"{ROW}{BAD_ROW}".encode())
        ]
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(key, "stage", "fence")
        names = {key.decode().removeprefix(ROW) for key in keys}
        for job in self._rows.keys() - names:  # a refused message: its row is withdrawn
            del self._rows[job]
        moved = []
        for key, (stage, fence) in zip(keys, pipe.execute(), strict=True):
            job = key.decode().removeprefix(ROW)
            if stage and self._rows.get(job) != (stage, fence):
                self._rows[job], self.moved_at = (stage, fence), time.monotonic()
                moved.append((job, key))
        for _, key in moved:
            pipe.hmget(key, "stage", "fence", "doc")
        for (job, _), (stage, fence, doc) in zip(moved, pipe.execute() if moved else (), strict=True):
            if doc:
                self.row_versions[job].append(RowVersion(time.time(), stage.decode(), int(fence), json.loads(doc)))


def files_of(result: Any) -> list[dict[str, Any]]:
    """Return all files of a result."""
    if not isinstance(result, dict):
        return []
    values = [entry for value in result.values() for entry in (value if isinstance(value, list) else [value])]
    return [entry for entry in values if isinstance(entry, dict) and {"url", "sha256", "key"} <= entry.keys()]


def digest_of(state: str, result: Any) -> str:
    """Return a digest of state and final result; progress is not a part of it."""
    shown = [state, result if state in FINAL_STATES else None]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]
