"""Retries inside a call: the one tenacity policy, only for calls that are safe to repeat.

A longer pause is a due time of the job: `worker.routing.retry`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential


def three_attempts(error: type[Exception], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncRetrying:
    """Repeat a call that raises this error: three attempts, with pauses of 1 to 10 s. The last error is raised."""
    return AsyncRetrying(
        retry=retry_if_exception_type(error),
        stop=stop_after_attempt(3),
        wait=wait_exponential(min=1, max=10),
        sleep=sleep,
        reraise=True,
    )
