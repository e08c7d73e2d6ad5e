"""How long the rows of a worker that went away wait until another worker claims them.

Who holds a row is written nowhere; it shows in time. A row that was held when the worker went, and whose fence and
lease then stand still until the lease is over, was the dead one's. From then on the next claim is waited for.
"""

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import redis

EVERY_S = 0.05
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Recovery:
    """A row of a worker that went away, and how long it took until it was claimed again; None if it never was."""

    job: str
    worker: str
    how: str
    seconds: float | None


class Watch:
    """Follows the rows held at a moment, in threads of their own."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._found: list[Recovery] = []
        self._threads: list[threading.Thread] = []
        self._followed: set[tuple[str, int, float]] = set()

    def begin(self, worker: str, how: str) -> None:
        """A worker went away just now: note what is held, and follow it; a lease that is followed already is another's."""
        at, rows = held_rows(self._client)
        held = {job: row for job, row in rows.items() if (job, *row) not in self._followed}
        self._followed |= {(job, *row) for job, row in held.items()}
        thread = threading.Thread(target=self._follow, args=(worker, how, at, held), daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> list[Recovery]:
        """Wait for what is followed, and return all that was measured."""
        for thread in self._threads:
            thread.join(GIVE_UP_S)
        return list(self._found)

    def _follow(self, worker: str, how: str, at: float, held: dict[str, tuple[int, float]]) -> None:
        give_up = time.monotonic() + GIVE_UP_S
        while held and time.monotonic() < give_up:
            time.sleep(EVERY_S)
            try:
                now, rows = rows_now(self._client, list(held))
            except (redis.ConnectionError, redis.TimeoutError):
                continue
            for job, seen in rows.items():
                if (settled := judge(at, held[job], seen, now)) is not None:
                    del held[job]
                    if settled >= 0:
                        self._found.append(Recovery(job, worker, how, settled))
        self._found += [Recovery(job, worker, how, None) for job in held]


def judge(at: float, held: tuple[int, float], seen: tuple[int, float, str], now: float) -> float | None:
    """Seconds to the next claim; -1 when a live worker held the row, or it needs none; None to wait on. Times in s."""
    fence, until = held
    if seen[2] in {"", "completed", "failed", "cancelled"}:
        return -1.0
    if seen[0] == fence and seen[1] != until:
        return -1.0  # written or renewed since: its holder lives
    if seen[0] > fence:
        return now - at if now >= until else -1.0  # claimed before the lease was over: its holder had let it go
    return None


def held_rows(client: redis.Redis) -> tuple[float, dict[str, tuple[int, float]]]:
    """Redis's time, and the fence and lease of every row that somebody holds."""
    ids = [str(key.decode()).removeprefix("kilnhand:job:") for key in client.scan_iter("kilnhand:job:*", count=2000)]
    now, rows = rows_now(client, ids)
    return now, {job: (fence, until) for job, (fence, until, _) in rows.items() if until > now}


def rows_now(client: redis.Redis, ids: list[str]) -> tuple[float, dict[str, tuple[int, float, str]]]:
    """Redis's time, and (fence, held until, stage) of these rows, in one step."""
    pipe = client.pipeline()
    pipe.time()
    for job in ids:
        pipe.hmget(f"kilnhand:job:{job}", "fence", "until", "stage")
    (seconds, micros), *rows = pipe.execute()
    found: dict[str, tuple[int, float, str]] = {}
    for job, row in zip(ids, rows, strict=True):
        fence, until, stage = (str(value.decode()) if value else "" for value in row)
        found[job] = (int(fence or 0), float(until or 0) / 1000, stage)
    return seconds + micros / 1e6, found


def percentile(values: list[float], share: float) -> float | None:
    """The smallest value that so large a share of all does not exceed (nearest rank)."""
    ordered: list[Any] = sorted(values)
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if ordered else None
