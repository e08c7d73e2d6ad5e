"""Flower's API answers a bad request with 400 and the reason. By itself it answers 500 without a word."""

import sys
from typing import Any

from worker.errors import InvalidRequestError


def answer_bad_requests() -> None:
    """Change Flower's API handlers, if this process has loaded Flower: Celery's command line loads its plugins."""
    flower_api = sys.modules.get("flower.api")
    if flower_api is None:
        return
    from tornado.web import HTTPError

    handler: Any = flower_api.BaseApiHandler
    run_blocking = handler.run_blocking

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await run_blocking(self, *args, **kwargs)
        except HTTPError as answer:  # Flower has made 500 of the error
            if not isinstance(cause := answer.__cause__, InvalidRequestError):
                raise
            raise HTTPError(400, cause.message) from cause

    handler.run_blocking = run
