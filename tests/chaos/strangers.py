"""What else is in the same Redis: a shop's own worker, messages that nobody can read, and rows that somebody has broken.

Each task of the shop must run once, unless Redis was away while it waited or ran: then Celery itself may repeat it.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import redis

from tests.chaos import shop
from tests.chaos.history import BAD_ROW
from tests.integration.edge.hostile_messages import QUEUE as HOSTILE_QUEUE
from tests.integration.edge.hostile_messages import cases
from worker.cli.processes.stack import Stack

EVERY_S = 2.0
LONG_S = 70.0  # longer than the visibility timeout of our workers, 60 s
KINDS: tuple[tuple[str, float, float], ...] = (  # task, seconds of work, countdown
    ("shop.work", 0.2, 0.0),
    ("shop.late", 1.0, 0.0),
    ("shop.work", 0.2, 5.0),
)
LONG_KINDS = (("shop.late", LONG_S, 0.0), ("shop.work", 0.2, LONG_S))
BAD_ROWS: tuple[tuple[str, Any], ...] = (
    ("strikes", "many"),
    ("fence", "x"),
    ("until", "soon"),
    ("doc", "nonsense"),
    ("doc", "{}"),
    ("heard", "twice"),
)
QUEUE = "generation"


@dataclass
class Sent:
    """A task of the shop: when it was sent, and when it is over."""

    number: int
    at: float
    over_at: float


class Shop:
    """The shop's worker, and a thread that sends it tasks."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._sent: list[Sent] = []
        self.outages: list[float] = []  # when Redis went away or came back, and when the worker was found dead

    def start(self) -> None:
        """Start the worker; it is ready when it says so."""
        shop.app.conf.update(broker_url=self._stack.redis_url, result_backend=self._stack.redis_url)
        command = ["celery", "-A", "tests.chaos.shop", "worker", "--concurrency", "4", "--pool", "threads"]
        quiet = ["--loglevel", "INFO", "--without-mingle", "--without-gossip", "--hostname", "shop@%h"]
        words = [sys.executable, "-m", *command, *quiet]
        env = {"SHOP_REDIS_URL": self._stack.redis_url}
        log = self._stack.folder / "logs" / "shop.log"
        self._stack.add("shop", words, lambda _: log.exists() and " ready." in log.read_text(), env=env).wait_ready()

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Send a task every two seconds, the long ones first, until it is stopped."""
        for n, (task, seconds, countdown) in enumerate(LONG_KINDS):
            self._send(n, task, seconds, countdown)
        n = len(LONG_KINDS)
        while not is_stopped():
            if not self._stack["shop"].is_alive:  # kombu 5.7.0 may end a worker when its Redis goes away
                self.outages.append(time.time())
                self._stack["shop"].start()
            self._send(n, *KINDS[n % len(KINDS)])
            n += 1
            time.sleep(EVERY_S)

    def _send(self, number: int, task: str, seconds: float, countdown: float) -> None:
        now = time.time()
        try:
            shop.app.send_task(task, (number, seconds), countdown=countdown or None, retry=False)
        except Exception:  # noqa: BLE001  # Redis is away: the shop does not know whether it was sent
            return
        self._sent.append(Sent(number, now, now + countdown + seconds))

    def left_s(self) -> float:
        """Seconds until the last task must be over."""
        return max([sent.over_at - time.time() for sent in self._sent], default=0.0)

    def problems(self, client: redis.Redis) -> list[str]:
        """The tasks that did not run once."""
        found: Any = client.lrange(shop.RUNS, 0, -1)
        runs = Counter(int(number) for number in found)
        calm = [sent for sent in self._sent if not self._had_outage(sent)]
        return [
            f"task {sent.number} of the shop ran {runs[sent.number]} times" for sent in calm if runs[sent.number] != 1
        ]

    def sent(self) -> int:
        """How many tasks were sent."""
        return len(self._sent)

    def _had_outage(self, sent: Sent) -> bool:
        return any(sent.at - 5.0 < at < sent.over_at + 20.0 for at in self.outages)


class Vandal:
    """Writes messages that nobody can read, and rows that nobody can claim. Counts both."""

    def __init__(self, client: redis.Redis, random: Random) -> None:
        self._client, self._random = client, random
        self._messages = [case for case in cases() if case.is_unreadable]
        self.messages = self._begun = 0
        self.rows: list[str] = []  # that are due

    def send_message(self) -> None:
        """Put a hostile message first in a queue."""
        case = self._random.choice(self._messages)
        self._client.rpush(QUEUE, case.raw.replace(f'"{HOSTILE_QUEUE}"'.encode(), f'"{QUEUE}"'.encode()))
        self.messages += 1

    def break_row(self) -> None:
        """Write a row that is due and has one wrong field, or whose key is of another type."""
        self._begun += 1
        job_id = f"{BAD_ROW}{self._begun}"
        key, place = f"kilnhand:job:{job_id}", self._random.randrange(len(BAD_ROWS) + 1)
        if place == len(BAD_ROWS):
            self._client.set(key, "no hash", ex=86_400)
        else:
            name, value = BAD_ROWS[place]
            good = {"doc": json.dumps({}), "stage": "accepted", "queue": QUEUE, "fence": 0, "strikes": 0, "until": 0}
            self._client.hset(key, mapping={**good, "heard": 0, name: value})
            self._client.expire(key, 86_400)
        self._client.zadd(f"kilnhand:due:{QUEUE}", {job_id: 0})
        self.rows.append(job_id)  # while Redis is away, an error is raised before

    def problems(self, kills: int) -> list[str]:
        """What was not set aside. A killed worker may have lost a message that it had just taken."""
        client = self._client
        counted: Any = client.hgetall("kilnhand:dead_messages_count")
        aside = sum(int(count) for count in counted.values())
        few = aside < self.messages - kills
        found = [f"{self.messages} hostile messages, {aside} were set aside"] if few else []
        bad: Any = client.hkeys("kilnhand:bad")
        missing = set(self.rows) - {job.decode() for job in bad}
        return found + [f"the bad row {job} was not set aside" for job in sorted(missing)]

    def clean_up(self) -> None:
        """Remove what it wrote, so that only our own leftovers are counted."""
        for number in range(1, self._begun + 1):
            self._client.delete(f"kilnhand:job:{BAD_ROW}{number}")


class Strangers:
    """All of them, for one run."""

    def __init__(self, stack: Stack, client: redis.Redis, random: Random) -> None:
        self.shop, self.vandal = Shop(stack), Vandal(client, random)
        self._client = client

    def counts(self) -> dict[str, int]:
        """What they did."""
        return {
            "shop_tasks": self.shop.sent(),
            "hostile_messages": self.vandal.messages,
            "bad_rows": len(self.vandal.rows),
        }

    def problems(self, kills: int) -> list[str]:
        """What they, or we, did not survive."""
        return [*self.shop.problems(self._client), *self.vandal.problems(kills)]
