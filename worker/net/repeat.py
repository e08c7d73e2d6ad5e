"""Retries inside a call: the one tenacity policy, only for calls that are safe to repeat.

A longer pause is a due time of the job: `worker.routing.retry`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

E = TypeVar("E", bound=Exception)


def three_attempts(
    error: type[E],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    unless: Callable[[E], bool] = lambda _: False,
) -> AsyncRetrying:
    """Repeat a call that raises this error: three attempts, with pauses of 1 to 10 s. The last error is raised.

    `unless` says which of these errors end the call at once.
    """
    return AsyncRetrying(
        retry=retry_if_exception(lambda raised: isinstance(raised, error) and not unless(raised)),
        stop=stop_after_attempt(3),
        wait=wait_exponential(min=1, max=10),
        sleep=sleep,
        reraise=True,
    )
