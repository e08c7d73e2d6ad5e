"""Fixes for celery 5.7.0 with kombu 5.7.0, so that a worker survives a Redis outage.

When Redis goes away while a message is unacknowledged, the worker closes the broken connection twice. The second close
restores unacked messages through a transport that no longer has a client (`AttributeError: 'NoneType' object has no
attribute 'hostname'`). No handler catches this, so the worker exits. `tests/integration/edge/test_compat.py` shows it.
It fails when the versions change; if the worker then survives without this file, delete the file.

A failover from a primary to its replica has the same effect: Redis answers UNBLOCKED to a waiting BRPOP and READONLY to
later commands, and kombu does not treat these as connection errors. `tests/acceptance/test_failover.py` shows that.
"""

from typing import Any

import kombu.transport.redis as transport
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

NEEDED_FOR = ("5.7.0", "5.7.0")  # celery, kombu


class SurvivingQoS(transport.QoS):
    """Leaves unacked messages alone without a connection; the broker redelivers them after the visibility timeout."""

    def restore_unacked(self, client: Any = None) -> None:
        """Restore unacked messages if there is a connection, otherwise forget them."""
        if self._connected():
            super().restore_unacked(client)
        else:
            self._delivered.clear()

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge. Raises a connection error, which Celery logs, if the message's connection is gone."""
        self._check_connected()
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject. Raises as `ack` does."""
        self._check_connected()
        super().reject(delivery_tag, requeue=requeue)

    def _check_connected(self) -> None:
        """Celery treats only the transport's own connection errors as passing: any other ends the worker."""
        if not self._connected():
            raise RedisConnectionError("the connection to the broker is gone; the message will be redelivered")

    def _connected(self) -> bool:
        connection = self.channel.connection
        return connection is not None and connection.client is not None


def survive_outages() -> None:
    """Use the fixed QoS in every Redis channel of this process, and reconnect when the server is no longer primary."""
    transport.Channel.QoS = SurvivingQoS
    BaseParser.EXCEPTION_CLASSES["UNBLOCKED"] = RedisConnectionError
    if ReadOnlyError not in transport.Transport.connection_errors:
        transport.Transport.connection_errors += (ReadOnlyError,)
