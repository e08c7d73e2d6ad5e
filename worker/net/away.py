"""Whether an error of Redis means that it cannot be reached now. Only then is it right to wait and try again.

Every other error (a wrong type of key, a value that cannot be stored, a command that is not allowed, full memory) comes
again at each try. It belongs to the one job that met it, and ends that job or its call in words.
"""

from redis import exceptions
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

_FAILOVER = (ReadOnlyError, exceptions.ClusterDownError, exceptions.TryAgainError)
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, *_FAILOVER)


def is_away(error: BaseException) -> bool:
    """Whether the connection failed, or a failover goes on. A builtin `TimeoutError` is an `OSError`."""
    return isinstance(error, _AWAY)


def is_permanent(error: BaseException) -> bool:
    """Whether Redis answered with an error that comes again at each try. Full memory is neither: it may get room."""
    return isinstance(error, RedisError) and not is_away(error) and not isinstance(error, OutOfMemoryError)


def problem_of(error: BaseException) -> str:
    """What Redis said, for a message to a caller."""
    return f"{type(error).__name__}: {error}"[:300]


class GrowingPause:
    """Pauses between tries, each twice as long as the one before, until something worked. Seconds."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s, self._tries = first_s, most_s, 0

    def next_s(self) -> float:
        """The next pause."""
        self._tries += 1
        return float(min(self._most_s, self._first_s * 2 ** min(self._tries - 1, 30)))

    def reset(self) -> None:
        """Something worked: the next pause is the first again."""
        self._tries = 0
