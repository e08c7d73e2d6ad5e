"""A whole house of real processes for the session, a producer with this package, and one that has only Celery."""

import gc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from tests.conftest import point_producer_at as point_producer
from tests.conftest import wait_until
from worker.cli.processes.house import House, open_house


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Celery's and fal-client's clients in this process leave sockets to the garbage collector; the servers are others."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


class Twin:
    """The twin's control calls."""

    def __init__(self, url: str) -> None:
        self.url = url

    def requests(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        query = {"endpoint": endpoint} if endpoint else {}
        answer = httpx.get(f"{self.url}/_twin/requests", params=query)
        return list(answer.json()["requests"])

    @property
    def count(self) -> int:
        return int(httpx.get(f"{self.url}/_twin/requests", params={"count": 1}).json()["count"])

    def script(self, **fault: Any) -> None:
        answer = httpx.post(f"{self.url}/_twin/script", json=fault)
        assert answer.status_code == 200, answer.text

    def pace(self, **pace: Any) -> None:
        answer = httpx.post(f"{self.url}/_twin/pace", json=pace)
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        httpx.post(f"{self.url}/_twin/reset")


def point_producer_at(house: House, patch: pytest.MonkeyPatch) -> None:
    """Our own Celery app, made to send to this house."""
    point_producer(house.environment, patch)


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house"), parts=("redis", "twin", "worker", "gateway")) as house:
        yield house
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture(scope="session")
def _patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def house(_house: House, _patch: pytest.MonkeyPatch) -> House:
    """Redis, twin, worker and gateway as processes, with our producer pointed at them and the twin forgetful.

    What the tests before have done to fal's health is forgotten, too.
    """
    point_producer_at(_house, _patch)
    Twin(_house.twin_url).reset()
    with redis.Redis.from_url(_house.redis_url) as client:
        for key in client.scan_iter("kilnhand:health:*"):
            client.delete(key)
    return _house


@pytest.fixture
def twin(house: House) -> Twin:
    return Twin(house.twin_url)


@pytest.fixture
def bare(house: House) -> Celery:
    """A backend that has Celery and nothing of ours: stock result backend, stock serializers."""
    client = Celery("backend", broker=house.redis_url, backend=house.redis_url, set_as_current=False)
    client.conf.update(task_ignore_result=False, broker_connection_retry_on_startup=True)
    return client


def states_of(result: Any, timeout_s: float = 30.0) -> list[str]:
    """Every state that a poller of this result sees, in order, until it is ready."""
    seen: list[str] = []

    def ready() -> bool:
        state = result.state
        if not seen or seen[-1] != state:
            seen.append(state)
        return state in {"SUCCESS", "FAILURE", "REVOKED"}

    wait_until(ready, f"{result.id} is ready; seen {seen}", timeout_s)
    return seen
