"""The price by a provider's own list, where the catalogue has none."""

from tests.unit.engine.world import World
from worker.jobs.job import Stage
from worker.providers.base import ListPrice


async def test_an_endpoint_without_a_price_costs_what_the_list_says() -> None:
    world = World()
    world.fal.price = ListPrice(0.05, "images")
    await world.accept("someone/some-model")

    row = await world.until(Stage.CLOSING)

    cost = (row.result or {})["cost"]
    assert (cost["usd"], cost["units"], cost["per"], cost["certainty"]) == (0.1, 2.0, "images", "unknown")
    assert set(world.fal.priced) == {"someone/some-model"} and len(world.fal.priced) > 1, "it is asked before the end"


async def test_an_endpoint_with_a_price_is_not_asked_about() -> None:
    world = World()
    await world.accept("flux-schnell")

    await world.until(Stage.CLOSING)

    assert world.fal.priced == []
