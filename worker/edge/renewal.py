"""Renews the messages that a worker holds, so that only those of a dead worker are redelivered.

A user's own task may run in our workers for longer than `VISIBILITY_S`, or wait there for its `eta`. A renewal needs
the event loop of Celery's consumer: in the `solo` pool it waits for the running task.

A worker of the version before kept its messages in the common keys. Those of our jobs are redelivered from there, too,
so that a rolling update loses none.
"""

import json
import time
from collections.abc import Collection
from typing import Any

import structlog

from worker.edge.channel import SafeChannel, SafeQoS
from worker.edge.unacked import COMMON

log = structlog.get_logger(__name__)

COMMON_EVERY_S = 60.0
MOST_COMMON = 1000  # messages in the common keys that are looked at, oldest first


class RenewingQoS(SafeQoS):
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
                    self._redeliver(client, tag)

    def _redeliver(self, client: Any, tag: bytes) -> None:
        try:
            client.transaction(lambda pipe: self._move_back(pipe, tag), COMMON[0])
        except (ValueError, LookupError, TypeError) as error:  # it stays where it is
            log.warning("unacked_not_redelivered", tag=tag.decode(errors="replace"), error=type(error).__name__)

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
    """Use `RenewingQoS` in every channel of this worker. `jobs`: the names of our tasks."""
    RenewingQoS.jobs = frozenset(jobs)
    SafeChannel.QoS = RenewingQoS
