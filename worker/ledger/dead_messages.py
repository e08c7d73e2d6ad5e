"""Broker messages that cannot be read, kept in Redis for an operator: each with its queue and the reason.

The list is bounded, so a flood of bad messages cannot fill Redis. The counters are not: they say how many came in all.
Blocking, because Celery's consumer and the command line use it.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from worker.net.redis_client import open_redis

MOST = 1_000  # messages that are kept; the oldest go first
MOST_BYTES = 64_000  # of one message; a longer one is cut, and cannot be sent again
REASON_CHARS = 500
KEEP_S = 30 * 86_400


@dataclass(frozen=True)
class DeadMessage:
    """A message that was set aside. `raw` are its bytes as the broker's list had them."""

    queue: str
    kind: str  # one of a few words, for the counters
    reason: str
    raw: bytes
    at: float = 0.0  # seconds since the epoch, by Redis's clock
    is_cut: bool = False


def open_dead_messages(url: str, prefix: str = "kilnhand:") -> "DeadMessages":
    """The list in the Redis at `url`. It connects at the first call; the caller closes it."""
    client = open_redis(
        url, max_connections=2, timeout=10, socket_timeout=10, socket_connect_timeout=5, client_name="kilnhand-dead"
    )
    return DeadMessages(client, prefix)


def dead_message_keys(prefix: str) -> tuple[str, str]:
    """The names of the list, and of the hash of counters by kind."""
    return f"{prefix}dead_messages", f"{prefix}dead_messages_count"


class DeadMessages:
    """The list and its counters. Every method raises redis-py's errors."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis = client
        self._list, self._counts = dead_message_keys(prefix)

    def add(self, message: DeadMessage) -> None:
        """Put a message on the list, and count it."""
        seconds, micros = self._redis.time()
        whole = asdict(message) | {"at": float(seconds) + micros / 1e6, "reason": message.reason[:REASON_CHARS]}
        whole["raw"] = base64.b64encode(message.raw[:MOST_BYTES]).decode()
        whole["is_cut"] = len(message.raw) > MOST_BYTES
        with self._redis.pipeline() as pipe:
            pipe.lpush(self._list, json.dumps(whole))
            pipe.ltrim(self._list, 0, MOST - 1)
            pipe.expire(self._list, KEEP_S)
            pipe.hincrby(self._counts, message.kind, 1)
            pipe.execute()

    def newest(self, limit: int = 100) -> list[DeadMessage]:
        """The messages, newest first."""
        found: Any = self._redis.lrange(self._list, 0, limit - 1)
        return [_read(each) for each in found]

    def counts(self) -> Mapping[str, int]:
        """How many messages were set aside since Redis was emptied, by kind."""
        found: Any = self._redis.hgetall(self._counts)
        return {kind.decode(): int(count) for kind, count in found.items()}

    def drop_all(self) -> int:
        """Empty the list, and return how many were on it. The counters stay."""
        with self._redis.pipeline() as pipe:
            pipe.llen(self._list)
            pipe.delete(self._list)
            return int(pipe.execute()[0])

    def close(self) -> None:
        """Close connections."""
        self._redis.close()


def _read(raw: bytes) -> DeadMessage:
    whole = json.loads(raw)
    return DeadMessage(**{**whole, "raw": base64.b64decode(whole["raw"])})
