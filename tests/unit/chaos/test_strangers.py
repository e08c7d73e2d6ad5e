"""The figures of the strangers in the same Redis: a task of the shop that ran twice is found, an outage is not blamed on us."""

from typing import Any

import pytest
import redis

from tests.chaos.shop import RUNS
from tests.chaos.strangers import Sent, Shop


@pytest.fixture
def shop(redis_url: str) -> Any:
    stack: Any = None
    one = Shop(stack)
    one._sent = [Sent(1, 100.0, 101.0), Sent(2, 200.0, 201.0)]
    return one


@pytest.mark.parametrize(
    ("runs", "outages", "problems"),
    [
        ([1, 2], [], []),
        ([1, 2, 2], [], ["task 2 of the shop ran 2 times"]),
        ([1], [], ["task 2 of the shop ran 0 times"]),
        ([1, 2, 2], [199.0], []),
    ],
)
def test_each_task_of_the_shop_runs_once(
    shop: Shop, redis_url: str, runs: list[int], outages: list[float], problems: list[str]
) -> None:
    shop.outages = outages
    with redis.Redis.from_url(redis_url) as client:
        client.delete(RUNS)
        client.rpush(RUNS, *runs)
        assert shop.problems(client) == problems
