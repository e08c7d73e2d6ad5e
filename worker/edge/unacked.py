"""The keys of the messages that a worker has taken and not acknowledged: our own.

Every Celery application keeps them in the same three keys of a Redis database, and every worker redelivers all that are
older than its own `visibility_timeout`. With ours of a minute, the running task of another application began again
every minute. `worker.edge.renewal` keeps our own running tasks.
"""

COMMON = ("unacked", "unacked_index")  # the hash of messages, and the set of their times, of kombu 5.7.0
OWN = tuple(f"kilnhand:{name}" for name in COMMON)
VISIBILITY_S = 60  # after so long without a renewal a message is redelivered: its worker is dead
RENEW_S = 5


def own_unacked_keys() -> dict[str, str]:
    """The broker's transport options that keep our messages apart."""
    return {"unacked_key": OWN[0], "unacked_index_key": OWN[1], "unacked_mutex_key": "kilnhand:unacked_mutex"}
