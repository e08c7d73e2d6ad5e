"""A whole stack of real processes for the session, a producer with this package, and one that has only Celery."""

import gc
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from tests.conftest import BARE_ROUTES, wait_until
from tests.conftest import point_producer_at as point_producer
from worker.cli.processes.stack import Stack, run_stack

FLIGHT_S = 10.0  # a call of a killed worker is never reported


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Celery's and fal-client's clients in this process leave sockets to the garbage collector; the servers are others."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


# A client of its own for each call would read a CA bundle, 30 ms, and tests poll.
HTTP = httpx.Client(verify=False, trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))


class Twin:
    """The twin's control calls."""

    def __init__(self, url: str) -> None:
        self.url = url

    def requests(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        query = {"endpoint": endpoint} if endpoint else {}
        return list(HTTP.get(f"{self.url}/_twin/requests", params=query).json()["requests"])

    @property
    def count(self) -> int:
        return int(HTTP.get(f"{self.url}/_twin/requests", params={"count": 1}).json()["count"])

    def script(self, **fault: Any) -> None:
        answer = HTTP.post(f"{self.url}/_twin/script", json=fault)
        assert answer.status_code == 200, answer.text

    def pace(self, **pace: Any) -> None:
        answer = HTTP.post(f"{self.url}/_twin/pace", json=pace)
        assert answer.status_code == 200, answer.text

    def platform(self, **settings: Any) -> None:
        HTTP.post(f"{self.url}/_twin/platform", json=settings).raise_for_status()

    def finish(self) -> None:
        """End every run under way now."""
        HTTP.post(f"{self.url}/_twin/finish").raise_for_status()

    def reset(self) -> None:
        HTTP.post(f"{self.url}/_twin/reset")


def point_producer_at(stack: Stack, patch: pytest.MonkeyPatch) -> None:
    """Our own Celery app, made to send to this stack."""
    point_producer(stack.environment, patch)


@pytest.fixture(scope="session")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("stack"), processes=("redis", "twin", "worker", "gateway")) as stack:
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture(scope="module")
def _patch() -> Iterator[pytest.MonkeyPatch]:
    """Undone with the module: the variables of a stack do not reach tests that know nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def forget_health(client: redis.Redis) -> None:
    """Forget what calls have done to the health of providers.

    A call is reported after its job has ended, so calls that were still to be reported would be remembered.
    """
    deadline = time.monotonic() + FLIGHT_S
    while time.monotonic() < deadline and any(map(client.zcard, client.scan_iter("kilnhand:health:flight:*"))):
        time.sleep(0.05)
    if known := list(client.scan_iter("kilnhand:health:*")):
        client.delete(*known)


@pytest.fixture
def stack(_stack: Stack, _patch: pytest.MonkeyPatch) -> Stack:
    """Redis, twin, worker and gateway as processes, with our producer pointed at them and the twin forgetful.

    What the tests before have done to fal's health is forgotten, too.
    """
    point_producer_at(_stack, _patch)
    Twin(_stack.twin_url).reset()
    with redis.Redis.from_url(_stack.redis_url) as client:
        forget_health(client)
    return _stack


@pytest.fixture
def twin(stack: Stack) -> Twin:
    return Twin(stack.twin_url)


@pytest.fixture
def bare(stack: Stack) -> Celery:
    """A backend that has Celery and nothing of ours: stock result backend, stock serializers."""
    client = Celery("backend", broker=stack.redis_url, backend=stack.redis_url, set_as_current=False)
    client.conf.update(task_routes=BARE_ROUTES, task_ignore_result=False, broker_connection_retry_on_startup=True)
    return client


def states_of(result: Any, timeout_s: float = 120.0) -> list[str]:
    """Every state that a poller of this result sees, in order, until it is ready."""
    seen: list[str] = []

    def ready() -> bool:
        state = result.state
        if not seen or seen[-1] != state:
            seen.append(state)
        return state in {"SUCCESS", "FAILURE", "REVOKED"}

    wait_until(ready, f"{result.id} is ready; seen {seen}", timeout_s, every_s=0.02)
    return seen
