"""Messages that a worker has taken and not acknowledged, in keys of our own.

Every Celery application keeps them in the same three keys of a Redis database, and every worker redelivers all that are
older than its own `visibility_timeout`. With ours of a minute, the running task of another application began again
every minute. So we have keys of our own (`app.py`).

A user's own task may run in our workers for longer than a minute, or wait there for its `eta`. So a worker renews its
messages while it holds them, and only those of a dead worker are redelivered. A renewal needs the event loop of
Celery's consumer: in the `solo` pool it waits for the running task.

A worker of the version before kept its messages in the common keys. Those of our jobs are redelivered from there, too,
so that a rolling update loses none.
"""

import json
import time
from collections.abc import Collection
from typing import Any

import kombu.transport.redis as transport

from worker.edge.compat import SurvivingQoS

COMMON = ("unacked", "unacked_index")  # the hash of messages, and the set of their times, of kombu 5.7.0
OWN = tuple(f"kilnhand:{name}" for name in COMMON)
VISIBILITY_S = 60  # after so long without a renewal a message is redelivered: its worker is dead
RENEW_S = 5
COMMON_EVERY_S = 60.0
MOST_COMMON = 1000  # messages in the common keys that are looked at, oldest first


def own_unacked_keys() -> dict[str, str]:
    """The broker's transport options that keep our messages apart."""
    return {"unacked_key": OWN[0], "unacked_index_key": OWN[1], "unacked_mutex_key": "kilnhand:unacked_mutex"}


class RenewingQoS(SurvivingQoS):
    """Renews the messages that this worker holds, and redelivers those of dead workers."""

    jobs: Collection[str] = ()  # the names of the tasks that may be redelivered from the common keys
    common_every_s = COMMON_EVERY_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looked_at = time.monotonic()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Called by kombu every `RENEW_S`."""
        self._renew()
        super().restore_visible(*args, **kwargs)
        if time.monotonic() - self._looked_at >= self.common_every_s:
            self._looked_at = time.monotonic()
            self._redeliver_from_common()

    def _renew(self) -> None:
        held = list(self._delivered)
        if held:
            now = time.time()
            with self.channel.conn_or_acquire() as client:
                client.zadd(self.unacked_index_key, dict.fromkeys(held, now), xx=True)

    def _redeliver_from_common(self) -> None:
        messages, index = COMMON
        until = time.time() - self.visibility_timeout
        with self.channel.conn_or_acquire() as client:
            for tag in client.zrange(index, 0, until, byscore=True, offset=0, num=MOST_COMMON):
                if self._is_job(client.hget(messages, tag)):
                    client.transaction(lambda pipe, tag=tag: self._move_back(pipe, tag), messages)

    def _is_job(self, raw: bytes | None) -> bool:
        try:
            return raw is not None and json.loads(raw)[0]["headers"]["task"] in self.jobs
        except (ValueError, LookupError, TypeError):
            return False

    def _move_back(self, pipe: Any, tag: bytes) -> None:
        messages, index = COMMON
        raw = pipe.hget(messages, tag)
        pipe.multi()
        pipe.zrem(index, tag)
        pipe.hdel(messages, tag)
        if raw:  # else another worker was faster
            message, exchange, routing_key = json.loads(raw)
            self.channel._do_restore_message(message, exchange, routing_key, pipe)


def renew_held_messages(jobs: Collection[str]) -> None:
    """Use `RenewingQoS` in every Redis channel of this process. `jobs`: the names of our tasks."""
    RenewingQoS.jobs = frozenset(jobs)
    transport.Channel.QoS = RenewingQoS
