"""Flower's API tells a caller what is wrong with a request. Flower itself runs in tests/acceptance/cli/test_up.py."""

import asyncio
from types import SimpleNamespace
from typing import Any

import flower.api
import pytest
from flower.utils.blocking import BlockingOperationRunner
from tornado.web import HTTPError

from worker.edge.flower_answers import answer_bad_requests
from worker.errors import InvalidRequestError


@pytest.mark.parametrize("error", [InvalidRequestError("t: 100% refused\n  prompt: field required"), RuntimeError("x")])
def test_only_a_bad_request_is_answered_with_400(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(flower.api.BaseApiHandler, "run_blocking", flower.api.BaseApiHandler.run_blocking)
    answer_bad_requests()

    def send() -> None:
        raise error

    async def post() -> None:
        handler: Any = SimpleNamespace(application=SimpleNamespace(blocking_runner=BlockingOperationRunner()))
        await flower.api.BaseApiHandler.run_blocking(handler, "task.publish", "t", send)

    with pytest.raises(HTTPError) as found:
        asyncio.run(post())
    if isinstance(error, InvalidRequestError):
        assert (found.value.status_code, found.value.get_message()) == (400, error.message)
    else:
        assert found.value.status_code == 500
