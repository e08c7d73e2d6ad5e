"""The cost of an attempt, from its provider's bill, and an estimate for a step, from the catalogue's price. Pure.

The cost is exact if the provider reports all that it bills, or bills what the request asks for. Otherwise it has
bounds. `worker.money.possible` has the cost before there is a bill.
"""

from collections.abc import Mapping
from typing import Any

from config.catalogue import Model, Price, Route
from config.mapping import arguments_for
from worker.errors import SubmitUnknownError
from worker.jobs.cost import NOTHING_BILLED, Cost, sum_of
from worker.jobs.job import Step
from worker.money.possible import is_unit_price_known, possible_cost, units_of
from worker.providers.base import ListPrice, Reply, RunFailure, Tokens
from worker.routing.served import Served

STORED_IN_CACHE = 2.0  # the most, as a multiple of the input's price: Anthropic stores a prompt for an hour at this


def cost_of(served: Served, outcome: Reply | RunFailure, listed: ListPrice | None = None) -> Cost | None:
    """The cost of the last attempt by its answer; None if the answer says nothing about it.

    `listed` is the price by the provider's own list. It counts where the catalogue has none, as a likely sum: it does
    not say what parameters change.
    """
    if outcome.cost:
        return outcome.cost
    price, route, step = served.model.price_on(served.route), served.route, served.job.step
    sent = arguments_for(route, step.arguments, step.extra)
    if outcome.tokens:
        cost = _of_tokens(price, outcome.tokens, outcome.billed_units)
    elif outcome.billed_units is not None:
        cost = _of_units(price, outcome.billed_units, served, sent, listed)
    elif isinstance(outcome, RunFailure):
        return _of_failure(outcome, served, sent)
    else:
        units = units_of(price, route, sent) if price and outcome.billed_as_asked else None
        if price is None or units is None:
            return None
        cost = _of_units(price, units, served, sent)
    return sum_of([cost, *[_of_one_picture(served, sent)] * _lost_pictures(outcome)])


def _of_tokens(price: Price | None, tokens: Tokens, pictures: float | None) -> Cost:
    """By tokens. Those of a cache are billed at between nothing and a multiple of the input's price."""
    by_picture = price is not None and price.tokens is not None
    units, per = (pictures or 0.0, "image") if by_picture else (tokens.read + tokens.wrote + tokens.drew, "token")
    usd = price.usd_of_tokens(tokens.read, tokens.wrote, tokens.drew) if price else None
    if price is None or usd is None:
        return Cost(None, units, per, estimated=True)
    if not tokens.cached:
        return Cost(usd, units, per, estimated=False)
    of_cached = usd - (price.usd_of_tokens(tokens.read - tokens.cached, tokens.wrote, tokens.drew) or 0.0)
    lower, upper = max(0.0, usd - of_cached), usd + of_cached * (STORED_IN_CACHE - 1)
    return Cost(usd, units, per, True, round(lower, 9), round(upper, 9))


def _of_units(
    price: Price | None, units: float, served: Served, sent: Mapping[str, Any], listed: ListPrice | None = None
) -> Cost:
    """By units that the provider reported, or that it bills because they were asked for."""
    if units == 0:
        return NOTHING_BILLED
    if price is None and listed:
        return Cost(round(units * listed.usd, 6), units, listed.unit, estimated=True)
    if price is None or price.per == "token":
        return Cost(None, units, None, estimated=True)
    usd = round(units * price.usd_for(sent.get("resolution")), 6)
    if price.tokens:  # pictures whose tokens the answer did not say: their own price, and something beside them
        upper = _of_one_picture(served, sent).upper_usd
        return Cost(usd, units, price.per, True, usd, None if upper is None else round(upper * units, 9))
    return Cost(usd, units, price.per, estimated=not is_unit_price_known(price, served.route, served.job.step))


def _of_failure(failure: RunFailure, served: Served, sent: Mapping[str, Any]) -> Cost:
    """A failure without a bill: nothing where the provider says so; otherwise probably nothing."""
    if failure.is_free:
        return NOTHING_BILLED
    most = possible_cost(served.model, served.route, served.job.step, sent)
    return Cost(0.0, 0.0, most.per, True, 0.0, most.upper_usd)


def _of_one_picture(served: Served, sent: Mapping[str, Any]) -> Cost:
    """What a picture whose answer was lost may cost, beside those that came."""
    return possible_cost(served.model, served.route, served.job.step, {**sent, "num_images": 1})


def _lost_pictures(outcome: Reply | RunFailure) -> int:
    """The number of pictures whose answer was lost: they may be billed like the others."""
    missing = outcome.missing if isinstance(outcome, Reply) else ()
    return sum(isinstance(error, SubmitUnknownError) for error in missing)


def estimate_usd(model: Model, step: Step, route: Route | None = None) -> float | None:
    """The likely price of a step in US dollars, from its arguments and the catalogue. None if it is not known."""
    route = route or model.first_route
    return possible_cost(model, route, step, arguments_for(route, step.arguments, step.extra)).usd
