"""What celery 5.7.0 with kombu 5.7.0 needs to outlive a Redis outage.

When Redis goes away while a message is unacknowledged, the worker closes the broken connection twice; the second close
restores unacked messages through a transport that has no client any more (`AttributeError: 'NoneType' object has no
attribute 'hostname'`), which no handler expects: the worker exits. `tests/integration/edge/test_compat.py` shows it,
and fails when the versions move on, so that this file can go.

The same end comes when a primary hands over to its replica: it answers UNBLOCKED to a waiting BRPOP and READONLY to
what follows, which kombu takes for a mistake of ours. `tests/acceptance/test_failover.py` shows that.
"""

from typing import Any

import kombu.transport.redis as transport
from kombu.exceptions import OperationalError
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

NEEDED_FOR = ("5.7.0", "5.7.0")  # celery, kombu


class SurvivingQoS(transport.QoS):
    """Leaves unacked messages where they are when there is no connection: the visibility timeout brings them back."""

    def restore_unacked(self, client: Any = None) -> None:
        """Restore them over a connection that exists, else forget that we hold them."""
        if self._connected():
            super().restore_unacked(client)
        else:
            self._delivered.clear()

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge, or say in a way that Celery knows that it could not be done."""
        if not self._connected():
            raise OperationalError("the connection to the broker is gone; the message comes again")
        super().ack(delivery_tag)

    def _connected(self) -> bool:
        connection = self.channel.connection
        return connection is not None and connection.client is not None


def survive_outages() -> None:
    """Have every Redis channel of this process use it, and connect anew to a server that is no primary any more."""
    transport.Channel.QoS = SurvivingQoS
    BaseParser.EXCEPTION_CLASSES["UNBLOCKED"] = RedisConnectionError
    if ReadOnlyError not in transport.Transport.connection_errors:
        transport.Transport.connection_errors += (ReadOnlyError,)
