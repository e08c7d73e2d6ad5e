"""What has vanished, moved, is deprecated or costs something else at fal, and how both lists are read."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from config.catalogue import Catalogue
from config.model import Model, Price, Route
from worker.errors import AuthenticationError, ServiceUnavailableError
from worker.providers.base import ListPrice
from worker.providers.fal.catalogue_check import Check, compare
from worker.providers.fal.model_list import listed_models, listed_prices
from worker.providers.fal.platform import FalPlatform

A = "fal-ai/recraft-v3"
MEGAPIXEL = Price(usd=0.025, per="megapixel")


def catalogue(endpoint: str = A, price: Price | None = MEGAPIXEL, *more: Model) -> Catalogue:
    route = Route(provider="fal", endpoint=endpoint, takes=("prompt",))
    return Catalogue(models=(Model(name="m", title="M", task=("a.b",), usual_s=1, price=price, routes=(route,)), *more))


def told(found: Check) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.kind, each.endpoint, each.now) for each in found.differences]


LISTS: list[tuple[dict[str, str], list[tuple[str, str, tuple[str, ...]]]]] = [
    ({A: "active"}, []),
    ({A: "deprecated"}, [("deprecated", A, ())]),
    ({"fal-ai/recraft-v30": "active"}, [("vanished", A, ())]),
    ({"fal-ai/recraft/v3/text-to-image": "active"}, [("moved", A, ("fal-ai/recraft/v3/text-to-image",))]),
    ({"recraft/v3": "active"}, [("moved", A, ("recraft/v3",))]),
]


@pytest.mark.parametrize(("listed", "expected"), LISTS)
def test_an_endpoint_is_there_or_vanished_or_moved_or_deprecated(listed: Any, expected: Any) -> None:
    assert told(compare(catalogue(), listed, None)) == expected


PRICES: list[tuple[Price | None, ListPrice | None, str | None, str | None]] = [
    # ours, fal's, what it lists if that differs, why they were not compared
    (MEGAPIXEL, ListPrice(0.025, "megapixels"), None, None),
    (MEGAPIXEL, ListPrice(0.025, "processed megapixels"), None, None),
    (MEGAPIXEL, ListPrice(0.03, "megapixels"), "0.03 USD per megapixel", None),
    (MEGAPIXEL, ListPrice(0.025, "image"), "0.025 USD per image", None),
    (
        MEGAPIXEL,
        ListPrice(0.1, "units"),
        None,
        "fal counts units, the catalogue megapixels; fal lists 0.1 USD per unit",
    ),
    (MEGAPIXEL, None, None, "fal lists no price"),
    (None, None, None, "no price is known"),
    (None, ListPrice(0.1, "second"), None, "the catalogue has no price; fal lists 0.1 USD per second"),
    (Price(usd=0.1, per="second", usd_at={"4k": 0.3}), ListPrice(0.3, "seconds"), None, None),
]


@pytest.mark.parametrize(("ours", "theirs", "now", "why"), PRICES)
def test_a_price_agrees_or_differs_or_cannot_be_compared(
    ours: Price | None, theirs: ListPrice | None, now: str | None, why: str | None
) -> None:
    found = compare(catalogue(price=ours), {A: "active"}, {A: theirs} if theirs else {})
    assert told(found) == ([("price", A, (now,))] if now else [])
    assert found.not_compared.get(A) == why


def test_two_models_of_one_endpoint_may_have_two_prices_and_apps_of_users_are_not_listed() -> None:
    route = Route(provider="fal", endpoint=A, takes=("prompt",))
    loud = Model(name="loud", title="L", task=("a.b",), usual_s=1, price=Price(usd=0.15, per="second"), routes=(route,))
    found = compare(catalogue(A, Price(usd=0.1, per="second"), loud), {A: "active"}, {A: ListPrice(0.15, "second")})
    assert (found.endpoints, found.differences, found.not_compared) == (1, (), {})
    found = compare(catalogue("workflows/acme/poster"), {}, {})
    assert found.differences == () and "workflows/acme/poster" in found.not_compared


def platform(answer: Callable[[httpx.Request], httpx.Response]) -> FalPlatform:
    return FalPlatform(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "https://api.fal.ai")


async def test_every_page_of_the_list_is_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("cursor", "1"))
        row = {"endpoint_id": f"a/{page}", "metadata": {"status": "deprecated"} if page == 2 else {}}
        return httpx.Response(200, json={"models": [row], "next_cursor": str(page + 1), "has_more": page < 3})

    assert await listed_models(platform(answer)) == {"a/1": "active", "a/2": "deprecated", "a/3": "active"}


async def test_a_price_list_that_refuses_one_id_still_gives_the_prices_of_the_others() -> None:
    calls: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        ids = request.url.params.get_list("endpoint_id")
        calls.append(ids)
        if "a/7" in ids:
            return httpx.Response(404, json={"error": {"type": "not_found", "message": "no"}})
        rows = [{"endpoint_id": name, "unit_price": 0.1, "unit": "image", "currency": "USD"} for name in ids]
        return httpx.Response(200, json={"prices": rows, "next_cursor": None, "has_more": False})

    found = await listed_prices(platform(answer), [f"a/{n}" for n in range(60)])
    assert found.keys() == {f"a/{n}" for n in range(60)} - {"a/7"}
    assert max(map(len, calls)) == 50


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401), AuthenticationError),
        (httpx.Response(503), ServiceUnavailableError),
        (httpx.Response(200, text="<html>"), ServiceUnavailableError),
        (httpx.Response(200, json={"models": 3}), ServiceUnavailableError),
        (httpx.Response(200, json={"models": [], "has_more": True, "next_cursor": "1"}), ServiceUnavailableError),
    ],
)
async def test_a_list_that_cannot_be_read_says_so(answer: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error, match="fal"):
        await listed_models(platform(lambda request: answer))


@pytest.mark.parametrize("answer", [httpx.Response(404, json={}), httpx.Response(200, json={"models": []})])
async def test_an_empty_list_of_models_is_no_list(answer: httpx.Response) -> None:
    with pytest.raises(ServiceUnavailableError):
        await listed_models(platform(lambda _: answer))
