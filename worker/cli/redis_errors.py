"""One message for every command when Redis cannot be reached, or cannot be used."""

import contextlib
from collections.abc import Iterable, Iterator

from config.logging import mask_text
from worker.cli.errors import CliError

HOW_TO_REACH_ONE = "Start everything with `kilnhand up`, or set KILNHAND_REDIS_URL; `kilnhand doctor` tells more."


def require_servers(urls: Iterable[str]) -> None:
    """Raise a `CliError` for a Redis that cannot be used. One that does not answer is not looked at."""
    from worker.net.redis_server import UnusableRedisError, require_usable

    try:
        require_usable(urls)
    except UnusableRedisError as error:
        raise CliError(error.message, status=2) from error


def answers(url: str) -> bool:
    """Whether a Redis answers there, within some seconds. One that asks for another login does."""
    from redis.exceptions import RedisError

    from worker.net.away import is_away
    from worker.net.redis_client import open_redis

    try:
        with open_redis(url, socket_timeout=3, socket_connect_timeout=3) as client:
            client.ping()
    except (RedisError, OSError) as error:
        return not is_away(error)
    return True


@contextlib.contextmanager
def report_redis_errors(what_failed: str, status: int = 1) -> Iterator[None]:
    """Turn errors of redis-py and kombu, and of bad rows, into a `CliError` that begins with `what_failed`."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from worker.ledger.base import UnreadableRowError
    from worker.net.away import is_away
    from worker.net.redis_server import UnusableRedisError

    try:
        yield
    except UnusableRedisError as error:
        raise CliError(f"{what_failed}: {error.message}", status) from error
    except UnreadableRowError as error:
        raise CliError(f"{what_failed}: {error.message}\nSee `kilnhand dead rows`.", status) from error
    except (OperationalError, RedisError, OSError) as error:
        if isinstance(error, RedisError) and not is_away(error):
            raise CliError(f"{what_failed}, Redis refused it: {mask_text(str(error))}", status) from error
        why = mask_text(str(error)).removeprefix("the ledger cannot be reached: ")
        message = f"{what_failed}, Redis cannot be reached: {why}\n{HOW_TO_REACH_ONE}"
        raise CliError(message, status) from error
