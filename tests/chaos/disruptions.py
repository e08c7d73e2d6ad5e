"""Carries out a plan: kills, stops, freezes and restarts processes, adds faults at the twin, forges webhooks, steals messages."""

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

from tests.chaos.forged_webhooks import WebhookForger
from tests.chaos.history import Death
from tests.chaos.load import mark_of
from tests.chaos.plan import Disruption
from tests.chaos.recovery import RecoveryWatch
from tests.chaos.strangers import Strangers
from tests.chaos.versions import Versions
from worker.cli.processes.stack import Child, Stack
from worker.edge.message import ENDINGS, HIGH

QUEUES = tuple(
    f"{name}{ending}"
    for name in ("generation", "training", "video", "language", "celery")
    for ending in ("", ENDINGS, HIGH)
)
STEAL_FOR_S = 1.0
LATE_S = 2.0
CLOSING_HEADER = "kilnhand_since"  # a header that only our closing messages have, also for jobs of a bare `send_task`


class Disruptor:
    """Runs each disruption in a thread, so that disruptions can overlap."""

    def __init__(
        self,
        stack: Stack,
        plan: list[Disruption],
        client: redis.Redis,
        forger: WebhookForger,
        bare: set[int],
        versions: Versions | None = None,
        strangers: Strangers | None = None,
    ) -> None:
        """`bare` are the numbers of items whose first message has no row; only Celery guarantees its delivery."""
        self._stack, self._plan, self._client, self._forger, self._bare = stack, plan, client, forger, bare
        self._versions, self._strangers, self._began = versions, strangers, 0.0
        self._threads: list[threading.Thread] = []
        self._locks = {name: threading.Lock() for name in stack.children}
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.deaths: list[Death] = []
        self.watch = RecoveryWatch(client)
        self.last_at = 0.0

    def run(self, began: float, is_stopped: Callable[[], bool]) -> None:
        """Carry out the plan; returns when all processes are up again."""
        self._began = began
        for disruption in self._plan:
            while time.monotonic() < began + disruption.at_s and not is_stopped():
                time.sleep(0.02)
            if is_stopped():
                break
            thread = threading.Thread(target=self._apply, args=(disruption,), daemon=True)
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join(120)
        self.last_at = time.monotonic()

    def resume_all(self) -> None:
        """Continue frozen processes. The remaining faults can still happen."""
        for child in self._stack.children.values():
            child.signal(signal.SIGCONT)

    def faults_applied(self) -> int:
        """Return how many of the faults added at the twin have happened."""
        left = httpx.get(f"{self._stack.twin_url}/_twin/script").json()["script"]
        return self.counts["faults ordered"] - sum(int(fault.get("times", 1)) for fault in left)

    def _apply(self, disruption: Disruption) -> None:
        try:
            if getattr(self, f"_{disruption.what}")(disruption) is False:
                return
            of = disruption.target.partition("-")[0]
            named = disruption.what == "kill" or of == "redis"
            self.counts[f"{disruption.what} {of}" if named else disruption.what] += 1
        except Exception as error:  # noqa: BLE001  # reported at the end: an error of the harness
            self.problems.append(f"{disruption}: {type(error).__name__}: {error}")

    def _is_late(self, disruption: Disruption) -> bool:
        """Whether its process was stopping for so long that a recovery could now include an outage of Redis."""
        return disruption.target != "redis" and time.monotonic() > self._began + disruption.at_s + LATE_S

    def _is_last(self, disruption: Disruption) -> bool:
        """Whether all other workers are down, frozen or stopping: a worker stops late if a call of it hangs."""
        names = [name for name in self._stack.children if name.startswith("worker") and name in self._locks]
        others = [name for name in names if name != disruption.target and not self._locks[name].locked()]
        return disruption.target in names and not others

    def _kill(self, disruption: Disruption) -> bool:
        child = self._stack[disruption.target]
        with self._locks[disruption.target]:
            if self._is_late(disruption) or self._is_last(disruption):
                return False
            child.signal(signal.SIGKILL)
            if disruption.target.startswith("worker"):
                self.deaths.append(Death(time.time(), disruption.target))
                self.watch.begin(disruption.target, "kill")
            child.wait(10)
            _start_again(child, disruption.seconds)
        return True

    def _stop(self, disruption: Disruption) -> bool:
        child = self._stack[disruption.target]
        with self._locks[disruption.target]:
            if self._is_last(disruption):
                return False
            child.stop(grace_s=60)
            _start_again(child, disruption.seconds)
        return True

    def _freeze(self, disruption: Disruption) -> bool:
        child = self._stack[disruption.target]
        with self._locks[disruption.target]:
            if self._is_late(disruption) or self._is_last(disruption):
                return False
            child.signal(signal.SIGSTOP)
            if disruption.target.startswith("worker"):
                self.watch.begin(disruption.target, "freeze")
            self._note_outage(disruption)
            time.sleep(disruption.seconds)
            child.signal(signal.SIGCONT)
            self._note_outage(disruption)
        return True

    def _note_outage(self, disruption: Disruption) -> None:
        if disruption.target == "redis" and self._strangers:
            self._strangers.shop.outages.append(time.time())

    def _restart(self, disruption: Disruption) -> None:
        """By SIGTERM: Redis syncs its append-only file before it exits, so no acknowledged write is lost."""
        with self._locks["redis"]:
            self._note_outage(disruption)
            self._stack["redis"].stop(grace_s=30)
            _start_again(self._stack["redis"], disruption.seconds)
            self._note_outage(disruption)

    def _change(self, disruption: Disruption) -> None:
        """Start a process with another version."""
        assert self._versions
        with self._locks.get(disruption.target, threading.Lock()):
            self._versions.change(disruption.target, disruption.fault["version"])

    def _fault(self, disruption: Disruption) -> None:
        answer = httpx.post(f"{self._stack.twin_url}/_twin/script", json=disruption.fault)
        answer.raise_for_status()
        self.counts["faults ordered"] += int(disruption.fault.get("times", 1))

    def _pace(self, disruption: Disruption) -> None:
        """Change the twin's pace for a while."""
        url = f"{self._stack.twin_url}/_twin/pace"
        before = {name: httpx.get(url).json()[name] for name in disruption.fault}
        httpx.post(url, json=disruption.fault).raise_for_status()
        time.sleep(disruption.seconds)
        httpx.post(url, json=before).raise_for_status()

    def _forge(self, disruption: Disruption) -> None:
        self.counts["forged"] += self._forger.send_forgeries()

    def _hostile(self, disruption: Disruption) -> None:
        assert self._strangers
        self._strangers.vandal.send_message()

    def _break_row(self, disruption: Disruption) -> None:
        assert self._strangers
        self._strangers.vandal.break_row()

    def _steal(self, disruption: Disruption) -> None:
        """Consume messages for a while; the first one that the ledger guarantees is lost, all others are put back."""
        deadline = time.monotonic() + STEAL_FOR_S
        while time.monotonic() < deadline:
            got: Any = self._client.brpop(list(QUEUES), timeout=0.2)
            if got and self._is_guaranteed(got[1]):
                self.counts["stolen closing" if CLOSING_HEADER in _headers(got[1]) else "stolen first"] += 1
                return
            if got:
                self._client.rpush(got[0], got[1])

    def _is_guaranteed(self, message: bytes) -> bool:
        """Whether the ledger sends this message again: one of our `delay()`, or a closing message."""
        try:
            headers, fields = _headers(message), _fields(message)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # a hostile one
            return False
        if CLOSING_HEADER in headers:
            return True
        mark = mark_of(fields)
        return mark is not None and mark[0] not in self._bare


def _start_again(child: Child, after_s: float) -> None:
    time.sleep(after_s)
    child.start()
    child.wait_ready()


def _headers(message: bytes) -> dict[str, Any]:
    return dict(json.loads(message).get("headers") or {})


def _fields(message: bytes) -> dict[str, Any]:
    """Return the fields of the request in a Celery message (protocol 2, JSON)."""
    envelope = json.loads(message)
    _, fields, _ = json.loads(base64.b64decode(envelope["body"]))
    return dict(fields)
