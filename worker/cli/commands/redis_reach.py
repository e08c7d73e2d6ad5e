"""Redis as the commands need it: when it cannot be reached, one complaint with the ways out."""

import contextlib
from collections.abc import Iterator

from config.logging import mask_text
from worker.cli.screen.complaint import Complaint

WAYS_OUT = "Start everything with `kilnhand up`, or set KILNHAND_REDIS_URL; `kilnhand doctor` tells more."


@contextlib.contextmanager
def redis_needed(what_failed: str) -> Iterator[None]:
    """Turn whatever Redis's and Celery's clients raise into a `Complaint` that begins with `what_failed`."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        raise Complaint(f"{what_failed}, Redis cannot be reached: {mask_text(str(error))}\n{WAYS_OUT}") from error
