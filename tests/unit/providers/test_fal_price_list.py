"""fal's price list: read in the background, kept for hours, bounded, and never a reason to wait or to fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from worker.errors import RateLimitError
from worker.providers.base import ListPrice
from worker.providers.fal import price_list
from worker.providers.fal.price_list import AGAIN_S, KEPT_S, PriceList

DEV = "fal-ai/flux/dev"
ROW = {"endpoint_id": DEV, "unit_price": 0.025, "unit": "megapixels", "currency": "USD"}


class Fal:
    """A price list over answers that the test sets, with a clock that the test winds."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, list[str]()
        self.answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, json={"prices": [ROW]})
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.prices = PriceList(http, "https://api.fal.ai", lambda: self.now)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params["endpoint_id"])
        return self.answer()

    async def price(self, endpoint: str = DEV) -> ListPrice | None:
        """The price after the list was read."""
        self.prices.price(endpoint)
        if self.prices._reading:
            await self.prices._reading
        return self.prices.price(endpoint)


@pytest.fixture
def fal() -> Fal:
    return Fal()


async def test_the_first_question_does_not_wait_and_the_next_one_has_the_price(fal: Fal) -> None:
    assert fal.prices.price(DEV) is None
    assert await fal.price() == ListPrice(0.025, "megapixels")
    assert fal.asked == [DEV]


async def test_a_price_is_kept_for_hours_and_counts_until_it_is_read_again(fal: Fal) -> None:
    await fal.price()
    fal.now += KEPT_S - 1
    await fal.price()
    assert len(fal.asked) == 1

    fal.now += 2
    fal.answer = lambda: httpx.Response(403)
    assert fal.prices.price(DEV) == ListPrice(0.025, "megapixels")
    assert await fal.price() == ListPrice(0.025, "megapixels")
    assert len(fal.asked) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"prices": []}, {"prices": None}, [], {"prices": [7, None]},
        {"prices": [{**ROW, "endpoint_id": "fal-ai/flux"}]},
        {"prices": [{**ROW, "currency": "EUR"}]},
        {"prices": [{**ROW, "unit_price": "0.1"}]},
        {"prices": [{**ROW, "unit_price": -1}]},
        {"prices": [{**ROW, "unit_price": True}]},
    ],
)  # fmt: skip
async def test_what_cannot_be_a_price_is_none_and_is_left_alone_for_a_while(fal: Fal, body: Any) -> None:
    fal.answer = lambda: httpx.Response(200, json=body)
    assert await fal.price() is None
    assert await fal.price() is None
    assert len(fal.asked) == 1

    fal.now += AGAIN_S + 1
    await fal.price()
    assert len(fal.asked) == 2


@pytest.mark.parametrize("error", [RateLimitError("slow down"), httpx.ConnectError("gone"), httpx.InvalidURL("x")])
async def test_a_list_that_cannot_be_read_harms_nobody_and_the_old_price_stays(fal: Fal, error: Exception) -> None:
    await fal.price()
    fal.now += KEPT_S + 1

    def fail() -> httpx.Response:
        raise error

    fal.answer = fail
    assert await fal.price() == ListPrice(0.025, "megapixels")
    assert await fal.price("a/b") is None


async def test_it_remembers_a_bounded_number_of_endpoints(fal: Fal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_list, "MOST_KEPT", 3)
    for n in range(10):
        await fal.price(f"a/{n}")

    assert len(fal.prices._known) == 3


async def test_closing_stops_a_read_that_hangs(fal: Fal) -> None:
    hangs = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: asyncio.sleep(3600)))  # type: ignore[arg-type,return-value]
    prices = PriceList(hangs, "https://api.fal.ai")
    prices.price(DEV)
    await asyncio.sleep(0)
    await asyncio.wait_for(prices.aclose(), 5)
