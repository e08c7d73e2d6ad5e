"""Carries a plan out: kills, stops, freezes and restarts processes, orders faults at the twin, forges, steals."""

import base64
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import redis

from tests.chaos.forgery import Forger
from tests.chaos.load import mark_of
from tests.chaos.plan import Strike
from tests.chaos.recovery import Watch
from worker.cli.processes.stack import Child, Stack

QUEUES = ("generation", "training", "video", "celery")
STEAL_FOR_S = 1.0
CLOSING = "kilnhand_since"  # the header of a closing message, which is ours whoever sent the first


class Striker:
    """Each strike in a thread of its own, so that they may overlap."""

    def __init__(self, stack: Stack, plan: list[Strike], client: redis.Redis, forger: Forger, bare: set[int]) -> None:
        """`bare` are the numbers of asks whose first message only Celery guarantees."""
        self._stack, self._plan, self._client, self._forger, self._bare = stack, plan, client, forger, bare
        self._threads: list[threading.Thread] = []
        self._locks = {name: threading.Lock() for name in stack.children}
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.watch = Watch(client)
        self.last_at = 0.0

    def run(self, began: float, given_up: Callable[[], bool]) -> None:
        """Strike until the plan is over; returns when everything is up again."""
        for strike in self._plan:
            while time.monotonic() < began + strike.at_s and not given_up():
                time.sleep(0.02)
            if given_up():
                break
            thread = threading.Thread(target=self._strike, args=(strike,), daemon=True)
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join(120)
        self.last_at = time.monotonic()

    def calm(self) -> None:
        """Frozen workers go on; faults that have not struck yet may still do so."""
        for child in self._stack.children.values():
            child.signal(signal.SIGCONT)

    def struck(self) -> int:
        """How many of the faults ordered at the twin have struck."""
        left = httpx.get(f"{self._stack.twin_url}/_twin/script").json()["script"]
        return self.counts["faults ordered"] - sum(int(fault.get("times", 1)) for fault in left)

    def _strike(self, strike: Strike) -> None:
        try:
            getattr(self, f"_{strike.what}")(strike)
            self.counts[strike.what if strike.what != "kill" else f"kill {strike.target.partition('-')[0]}"] += 1
        except Exception as error:  # noqa: BLE001  # told at the end; a strike that failed is a fault of the harness
            self.problems.append(f"{strike}: {type(error).__name__}: {error}")

    def _kill(self, strike: Strike) -> None:
        child = self._stack[strike.target]
        with self._locks[strike.target]:
            child.signal(signal.SIGKILL)
            if strike.target.startswith("worker"):
                self.watch.begin(strike.target, "kill")
            child.wait(10)
            _back(child, strike.seconds)

    def _stop(self, strike: Strike) -> None:
        child = self._stack[strike.target]
        with self._locks[strike.target]:
            child.stop(grace_s=60)
            _back(child, strike.seconds)

    def _freeze(self, strike: Strike) -> None:
        child = self._stack[strike.target]
        with self._locks[strike.target]:
            child.signal(signal.SIGSTOP)
            self.watch.begin(strike.target, "freeze")
            time.sleep(strike.seconds)
            child.signal(signal.SIGCONT)

    def _restart(self, strike: Strike) -> None:
        """SIGTERM: Redis writes and syncs its append-only file before it goes, so nothing acknowledged is lost."""
        with self._locks["redis"]:
            self._stack["redis"].stop(grace_s=30)
            _back(self._stack["redis"], strike.seconds)

    def _fault(self, strike: Strike) -> None:
        answer = httpx.post(f"{self._stack.twin_url}/_twin/script", json=strike.fault)
        answer.raise_for_status()
        self.counts["faults ordered"] += int(strike.fault.get("times", 1))

    def _forge(self, strike: Strike) -> None:
        self.counts["forged"] += self._forger.strike()

    def _steal(self, strike: Strike) -> None:
        """Stand among the consumers for a while; a message of ours that comes is lost, any other goes back."""
        deadline = time.monotonic() + STEAL_FOR_S
        while time.monotonic() < deadline:
            got: Any = self._client.brpop(list(QUEUES), timeout=0.2)
            if got and self._is_promised(got[1]):
                self.counts["stolen closing" if CLOSING in _headers(got[1]) else "stolen first"] += 1
                return
            if got:
                self._client.rpush(got[0], got[1])

    def _is_promised(self, message: bytes) -> bool:
        """Whether our ledger answers for this message: one that went through our `delay()`, or a closing one."""
        headers = _headers(message)
        if CLOSING in headers:
            return True
        mark = mark_of(_fields(message))
        return mark is not None and mark[0] not in self._bare


def _back(child: Child, after_s: float) -> None:
    time.sleep(after_s)
    child.start()
    child.wait_ready()


def _headers(message: bytes) -> dict[str, Any]:
    return dict(json.loads(message).get("headers") or {})


def _fields(message: bytes) -> dict[str, Any]:
    """The request's fields inside a Celery message (protocol 2, JSON)."""
    envelope = json.loads(message)
    _, fields, _ = json.loads(base64.b64decode(envelope["body"]))
    return dict(fields)
