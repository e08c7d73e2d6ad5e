"""Flower's API tells a caller what is wrong with a request. Flower itself runs in tests/acceptance/cli/test_up.py."""

import asyncio
from types import SimpleNamespace
from typing import Any

import flower.api
import pytest
from tornado.web import HTTPError

from worker.edge.flower_answers import answer_bad_requests
from worker.errors import InvalidRequestError


@pytest.mark.parametrize("error", [InvalidRequestError("t: 100% refused\n  prompt: field required"), RuntimeError("x")])
def test_only_a_bad_request_is_answered_with_400(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(flower.api.BaseApiHandler, "run_blocking", flower.api.BaseApiHandler.run_blocking)
    answer_bad_requests()

    async def run(*_: Any, **__: Any) -> None:
        raise error

    handler: Any = SimpleNamespace(application=SimpleNamespace(blocking_runner=SimpleNamespace(run=run)))
    with pytest.raises((HTTPError, RuntimeError)) as found:
        asyncio.run(flower.api.BaseApiHandler.run_blocking(handler, "task.publish", "t", None))
    if isinstance(error, InvalidRequestError):
        assert isinstance(found.value, HTTPError) and found.value.status_code == 400
        assert found.value.get_message() == error.message
    else:
        assert found.value is error
