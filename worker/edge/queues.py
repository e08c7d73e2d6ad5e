"""The queues of a worker, and how they are bound.

A queue without an exchange of its own is bound by Celery to the exchange `celery` with the key `celery`: a message that
is sent there went to every queue of ours, and ran as often. So each queue has an exchange of its own name, as Celery
makes them for `-Q`. Kombu keeps bindings in Redis for ever, so those of the versions before are removed.
"""

from collections.abc import Sequence
from typing import Any

from kombu.entity import Exchange, Queue
from kombu.utils.scheduling import round_robin_cycle

from worker.edge.message import ENDINGS, HIGH

OLD_EXCHANGE = OLD_KEY = "celery"


def own_queue(name: str) -> Queue:
    """A queue that is reached by its name alone."""
    return Queue(name, Exchange(name), routing_key=name)


class SideQueuesFirst(round_robin_cycle):
    """The order in which a worker asks its queues: endings, then jobs of priority high, then the others in turn.

    The broker option `queue_order_strategy` names it. Redis takes from the first list that is not empty.
    """

    def consume(self, n: int) -> list[str]:
        """The next `n` queues."""
        return sorted(self.items[:n], key=_rank)


def _rank(queue: str) -> int:
    return 0 if queue.endswith(ENDINGS) else 1 if queue.endswith(HIGH) else 2


def remove_old_bindings(channel: Any, queues: Sequence[str]) -> None:
    """Remove the bindings to the exchange `celery` that the versions before made for these queues."""
    ours = [queue for queue in queues if queue != OLD_EXCHANGE]
    members = [channel.sep.join([key, "", queue]) for queue in ours for key in (OLD_KEY, queue)]
    if members:
        with channel.conn_or_acquire() as client:
            for table in (channel.keyprefix_queue, channel.keyprefix_binding_permanent):
                client.srem(table % (OLD_EXCHANGE,), *members)
