"""An error that Redis answers with is permanent: the call that met it says so, and nothing is tried again."""

from typing import Any

import pytest
import redis
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, NoPermissionError, OutOfMemoryError, ResponseError

from tasks.generation import text_to_image
from tests.conftest import point_producer_at
from worker import client
from worker.edge.dispatcher_thread import DispatcherThread
from worker.errors import InternalError, InvalidRequestError, KilnhandError, ServiceUnavailableError
from worker.net.away import GrowingPause

PERMANENT = [DataError("x"), ResponseError("WRONGTYPE"), NoPermissionError("NOPERM")]


def test_a_send_that_redis_refuses_says_so_and_leaves_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    with redis.Redis.from_url(redis_url) as keys:
        keys.set("kilnhand:due:generation", "x")
        with pytest.raises(InternalError, match="WRONGTYPE"):
            text_to_image.delay(prompt="x")
        assert keys.keys("*") == [b"kilnhand:due:generation"]
        keys.flushall()
        keys.set("kilnhand:job:x", "x")
    for call in (client.status, client.cancel, client.result):
        with pytest.raises(InternalError, match="WRONGTYPE"):
            call("x")


def test_a_send_while_redis_is_away_can_be_repeated(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point_producer_at({"KILNHAND_REDIS_URL": "redis://127.0.0.1:1/0"}, monkeypatch)
    with pytest.raises(OperationalError, match="nothing was sent"):
        text_to_image.delay(prompt="x")


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        *((error, InternalError) for error in PERMANENT),
        (RedisConnectionError("x"), ServiceUnavailableError),
        (OutOfMemoryError("OOM"), ServiceUnavailableError),  # a failure cannot be stored in a full Redis either
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_worker_returns_a_message_only_while_the_ledger_is_away(
    error: Exception, becomes: type[KilnhandError]
) -> None:
    class Thread:
        def run(self, work: Any) -> Any:
            raise error

    service = DispatcherThread.__new__(DispatcherThread)
    service._thread, service._pauses = Thread(), GrowingPause(0.1, 5.0)  # type: ignore[assignment]
    with pytest.raises(becomes):
        service._call(None)  # type: ignore[arg-type]


def test_a_message_is_returned_after_a_pause_while_the_ledger_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        pauses = 0

        def accept(self, *_: Any) -> Any:
            raise ServiceUnavailableError("away")

        def pause(self) -> None:
            self.pauses += 1

    away = Away()
    monkeypatch.setattr(text_to_image.app, "job_service", away, raising=False)
    text_to_image.push_request(id="j", called_directly=False)
    try:
        with pytest.raises(Reject):
            text_to_image.deliver((), {"prompt": "x"})
    finally:
        text_to_image.pop_request()
    assert away.pauses == 1


@pytest.mark.parametrize("name", ["map", "starmap"])
def test_jobs_are_not_mapped_and_not_called(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="group"):
        getattr(text_to_image, name)([{"prompt": "x"}])
    with pytest.raises(InvalidRequestError, match="group"):
        text_to_image.chunks([{"prompt": "x"}], 2)
    with pytest.raises(InvalidRequestError, match="delay"):
        text_to_image(prompt="x")
