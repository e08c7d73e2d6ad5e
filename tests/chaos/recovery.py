"""Measures how long the rows of a killed or frozen worker wait until another worker claims them.

A row does not say which worker holds it. But if a row was held at the kill, and its fence and lease do not change until
the lease is over, the killed worker held it. The time until its next claim is the recovery.
"""

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import redis

from tests.chaos.history import BAD_ROW

POLL_S = 0.05
MAX_WAIT_S = 60.0
USUAL_LEASE_S = 8.5  # the default, and the time in which the times of two reads may differ


@dataclass(frozen=True)
class Recovery:
    """A row of a killed or frozen worker, and the time until its next claim; None if it was not claimed."""

    job: str
    worker: str
    how: str
    seconds: float | None


class RecoveryWatch:
    """Follows the rows that are held at a kill or freeze, in a thread for each."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._found: list[Recovery] = []
        self._threads: list[threading.Thread] = []
        self._followed: set[tuple[str, int, float]] = set()

    def begin(self, worker: str, how: str) -> None:
        """Follow all rows that are held now, except leases that an earlier call follows already."""
        at, rows = held_rows(self._client)
        held = {job: row for job, row in rows.items() if (job, *row) not in self._followed}
        self._followed |= {(job, *row) for job, row in held.items()}
        thread = threading.Thread(target=self._follow, args=(worker, how, at, held), daemon=True)
        thread.start()
        self._threads.append(thread)

    def end(self) -> list[Recovery]:
        """Wait for all threads and return the measurements."""
        for thread in self._threads:
            thread.join(MAX_WAIT_S)
        return list(self._found)

    def _follow(self, worker: str, how: str, at: float, held: dict[str, tuple[int, float]]) -> None:
        give_up = time.monotonic() + MAX_WAIT_S
        while held and time.monotonic() < give_up:
            time.sleep(POLL_S)
            try:
                now, rows = rows_now(self._client, list(held))
            except (redis.ConnectionError, redis.TimeoutError):
                continue
            for job, row in rows.items():
                if (recovery_s := time_to_recovery(at, held[job], row, now)) is not None:
                    del held[job]
                    if recovery_s >= 0:
                        self._found.append(Recovery(job, worker, how, recovery_s))
        self._found += [Recovery(job, worker, how, None) for job in held]


def time_to_recovery(at: float, held: tuple[int, float], row: tuple[int, float, str], now: float) -> float | None:
    """Return seconds to the next claim; -1 if a live worker held the row or it is final; None to continue. Times in s."""
    fence, until = held
    if row[2] in {"", "completed", "failed", "cancelled"}:
        return -1.0
    if row[0] == fence and row[1] != until:
        return -1.0  # written or renewed: its holder is alive
    if row[0] > fence:
        return now - at if now >= until else -1.0  # claimed before the lease was over: its holder had released it
    return None


def held_rows(client: redis.Redis) -> tuple[float, dict[str, tuple[int, float]]]:
    """Return Redis's time, and the fence and lease of every row that is held with the usual lease.

    A call whose answer only its process can know has a longer one, so that no other worker takes its row meanwhile.
    """
    ids = [str(key.decode()).removeprefix("kilnhand:job:") for key in client.scan_iter("kilnhand:job:*", count=2000)]
    now, rows = rows_now(client, [job for job in ids if not job.startswith(BAD_ROW)])
    return now, {job: (fence, until) for job, (fence, until, _) in rows.items() if now < until <= now + USUAL_LEASE_S}


def rows_now(client: redis.Redis, ids: list[str]) -> tuple[float, dict[str, tuple[int, float, str]]]:
    """Return Redis's time and (fence, held until, stage) of these rows, in one transaction."""
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
    """Return the percentile by nearest rank; None without values."""
    ordered: list[Any] = sorted(values)
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if ordered else None
