"""`GET /metrics`: who may read it, how often Redis is read for it, and what it counts."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.applications import Starlette

from worker.gateway import metrics as page_module
from worker.gateway.metrics import CACHE_S, MetricsPage, metrics_routes
from worker.health.base import CircuitStatus
from worker.health.metrics import Metrics

TOKEN = "a token of the tests"


@dataclass
class Scraped:
    """The page over a Redis that is faked."""

    token: SecretStr | None = None
    now: float = 100.0
    reads: int = 0
    duplicates: int = 3
    states: list[CircuitStatus] = field(
        default_factory=lambda: [CircuitStatus("fal", None), CircuitStatus("fal", "evil/app", "open")]
    )
    hangs: bool = False
    fails: bool = False

    def __post_init__(self) -> None:
        totals = dict.fromkeys(("kilnhand_possible_duplicates", "kilnhand_messages_set_aside"), self._count)
        page = MetricsPage(Metrics(), self._states, totals, lambda: self.now)
        app = Starlette(routes=[*metrics_routes(page, self.token)])
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    async def _states(self) -> list[CircuitStatus]:
        self.reads += 1
        if self.fails:
            raise RedisConnectionError
        await asyncio.sleep(3600 if self.hangs else 0)
        return self.states

    async def _count(self) -> int:
        return self.duplicates

    async def get(self, **headers: str) -> httpx.Response:
        return await self.http.get("/metrics", headers=headers)


async def test_with_a_token_only_its_holder_reads_the_metrics() -> None:
    scraped = Scraped(SecretStr(TOKEN))
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"}):
        answer = await scraped.get(**wrong)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert not scraped.reads
    assert (await scraped.get(authorization=f"Bearer {TOKEN}")).status_code == 200
    assert (await Scraped().get()).status_code == 200, "without a token it is open"


async def test_redis_is_read_once_in_some_seconds() -> None:
    scraped = Scraped()
    await asyncio.gather(*(scraped.get() for _ in range(50)))
    assert scraped.reads == 1
    scraped.now += CACHE_S - 0.1
    await scraped.get()
    assert scraped.reads == 1
    scraped.now += 0.2
    await scraped.get()
    assert scraped.reads == 2


async def test_possible_duplicates_are_a_counter() -> None:
    text = (await Scraped().get()).text
    assert "# TYPE kilnhand_possible_duplicates_total counter" in text
    assert "kilnhand_possible_duplicates_total 3.0" in text and "kilnhand_messages_set_aside_total 3.0" in text


async def test_no_label_holds_a_name_of_a_caller() -> None:
    scraped = Scraped()
    text = (await scraped.get()).text
    assert "evil" not in text
    assert 'kilnhand_models_open{provider="fal"} 1.0' in text


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
async def test_without_redis_its_values_are_left_out(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_REDIS_S", 0.1)
    scraped = Scraped()
    await scraped.get()
    scraped.now += 2 * CACHE_S
    setattr(scraped, trouble, True)
    answer = await scraped.get()
    assert answer.status_code == 200
    assert "kilnhand_possible_duplicates_total 3" not in answer.text
    assert 'provider="fal"} ' not in answer.text
