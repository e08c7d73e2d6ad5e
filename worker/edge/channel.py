"""Kombu's Redis channel, which goes on after a message that is not even a message.

Kombu 5.7.0 parses a message after it has taken it from its list. One that is not JSON, or has no delivery tag, raises
in the worker's loop: the worker ends, and the message is gone. It ends as well when Redis is full, because it cannot
note the message that it has taken.
"""

from collections import deque
from queue import Empty
from time import monotonic
from typing import Any, ClassVar

import kombu.transport.redis as transport
import structlog
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import ExecAbortError, OutOfMemoryError

from worker.edge.compat import SurvivingQoS
from worker.edge.consumer import is_the_brokers
from worker.edge.unreadable import set_aside

log = structlog.get_logger(__name__)

FULL = (OutOfMemoryError, ExecAbortError)  # the second inside a transaction


class SafeQoS(SurvivingQoS):
    """Sets aside what cannot be restored: kombu restores at every start, and one bad entry would end each worker."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Return an unacknowledged message to its queue."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except FULL:  # it stays unacknowledged, and is redelivered later
            log.warning("redis_full", message=str(tag))
        except Exception as error:
            if is_the_brokers(error):
                raise
            with self.channel.conn_or_acquire(client) as redis:
                raw = redis.hget(self.unacked_key, tag) or b""
                if set_aside(self.unacked_key, raw, "unacked", f"{type(error).__name__}: {error}"):
                    self._remove_from_indices(tag).execute()


class SafeChannel(transport.Channel):
    """Sets aside what cannot be parsed."""

    QoS = SafeQoS
    kept: ClassVar[deque[tuple[str, bytes]]] = (
        deque()
    )  # by list: taken from a full Redis, which cannot note it as taken
    _put_back_at = 0.0

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message, unless one is kept: then Redis is full."""
        if self._put_back():
            super()._brpop_start(timeout)

    def _put_back(self) -> bool:
        """Return kept messages to the front of their lists. False while Redis is full; it is tried once a second."""
        while self.kept:
            if monotonic() < self._put_back_at:
                return False
            try:
                with self.conn_or_acquire() as client:
                    client.rpush(*self.kept[0])
            except FULL:
                self._put_back_at = monotonic() + 1.0
                return False
            self.kept.popleft()
        return True

    def _brpop_read(self, **options: Any) -> bool:
        """As kombu's method, but parsing and delivering are guarded."""
        try:
            try:
                popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not popped:
                raise Empty
            name = bytes_to_str(popped[0])
            queue = name.rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                self._deliver(queue, popped[1])
            except FULL:
                log.warning("redis_full", queue=queue)
                self.kept.append((name, popped[1]))
            return True
        finally:
            self._in_poll = None  # type: ignore[assignment]  # kombu has it so
            self._flush_brpop_reauth()

    def _do_restore_message(
        self, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        """Raise for a message that cannot be restored; kombu's own logs it, and the message is lost."""
        properties = payload["properties"]
        if not all(isinstance(each, dict) for each in (payload["headers"], properties, properties["delivery_info"])):
            raise ValueError("headers, properties and delivery_info have to be objects")
        if not self._lookup(exchange, routing_key):
            raise ValueError(f"no queue for the exchange {exchange!r} and the routing key {routing_key!r}")
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)

    def _deliver(self, queue: str, raw: bytes) -> None:
        """Hand the message to its consumer, or set it aside. If Redis does not take it, it goes back to its queue."""
        try:
            self.connection._deliver(loads(bytes_to_str(raw)), queue)
        except Exception as error:
            if is_the_brokers(error):
                raise
            if not set_aside(queue, raw, "envelope", f"{type(error).__name__}: {error}"):
                with self.conn_or_acquire() as client:
                    client.lpush(queue, raw)


class SafeSentinelChannel(SafeChannel, transport.SentinelChannel):
    """The same, behind Sentinels."""


def use_safe_channel() -> None:
    """Use it in every Redis connection of this process."""
    transport.Transport.Channel = SafeChannel
    transport.SentinelTransport.Channel = SafeSentinelChannel
