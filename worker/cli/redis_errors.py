"""One message for every command when Redis cannot be reached."""

import contextlib
from collections.abc import Iterator

from config.logging import mask_text
from worker.cli.errors import CliError

HOW_TO_REACH_ONE = "Start everything with `kilnhand up`, or set KILNHAND_REDIS_URL; `kilnhand doctor` tells more."


@contextlib.contextmanager
def report_redis_errors(what_failed: str, status: int = 1) -> Iterator[None]:
    """Turn connection errors of redis-py and kombu into a `CliError` that begins with `what_failed`."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        message = f"{what_failed}, Redis cannot be reached: {mask_text(str(error))}\n{HOW_TO_REACH_ONE}"
        raise CliError(message, status) from error
