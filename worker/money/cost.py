"""The cost of an attempt, from its provider's bill, and an estimate for a step, from the catalogue's price. Pure."""

import math

from config.catalogue import Model, Price, Route
from config.mapping import arguments_for
from config.shape import dimensions
from worker.errors import SubmitUnknownError
from worker.jobs.job import Cost, Step
from worker.providers.base import Reply, RunFailure
from worker.routing.served import Served


def cost_of(served: Served, outcome: Reply | RunFailure) -> Cost | None:
    """Billed units, or tokens, times the route's price. What is unknown stays None: nothing is guessed."""
    price = served.model.price_on(served.route)
    if outcome.tokens:
        read, wrote = outcome.tokens.read, outcome.tokens.wrote
        usd = price.usd_of_tokens(read, wrote) if price else None
        return Cost(usd, read + wrote, "token", estimated=usd is None)
    if outcome.billed_units is None:
        return None
    if price is None or price.per == "token":
        return Cost(None, outcome.billed_units, None, estimated=True)
    lost = _lost_pictures(outcome)
    units = outcome.billed_units + lost
    usd = round(units * _unit_usd(price, served.route, served.job.step), 6)
    return Cost(usd, units, price.per, estimated=bool(served.job.step.extra or lost))


def _lost_pictures(outcome: Reply | RunFailure) -> int:
    """The number of pictures whose answer was lost: they may be billed like the others."""
    missing = outcome.missing if isinstance(outcome, Reply) else ()
    return sum(isinstance(error, SubmitUnknownError) for error in missing)


def estimated_cost(model: Model, route: Route, step: Step) -> Cost | None:
    """What a run should have cost, if the provider cannot be asked. None if the catalogue has no price for it."""
    price, usd = model.price_on(route), estimate_usd(model, step, route)
    return Cost(usd, _units(price, step), price.per, estimated=True) if price and usd is not None else None


def estimate_usd(model: Model, step: Step, route: Route | None = None) -> float | None:
    """US dollars for a step, from its arguments and the catalogue's price. None if either is not enough."""
    route = route or model.first_route
    price = model.price_on(route)
    units = _units(price, step) if price else None
    return round(units * _unit_usd(price, route, step), 6) if price and units is not None else None


def _unit_usd(price: Price, route: Route, step: Step) -> float:
    return price.usd_for(arguments_for(route, step.arguments, step.extra).get("resolution"))


def _units(price: Price | None, step: Step) -> float | None:
    """Units as the price counts them. A picture is billed by whole megapixels; without a size it counts as one."""
    given = step.arguments
    images = int(given.get("num_images") or 1)
    match price.per if price else None:
        case "megapixel":
            size = given.get("image_size")
            return images * math.ceil(math.prod(dimensions(size)) / 1_000_000) if size else images
        case "image":
            return images
        case "second":
            return given.get("duration_s")
        case "step":
            return given.get("steps")
        case "request":
            return 1
    return None
