"""Whether a job may begin another attempt under its `max_usd`. Pure.

The rule: the most that its attempts so far may have cost, plus the most that the next one may cost, is no more than
`max_usd`. A price that is not known counts as above it.
"""

import math
from collections.abc import Iterator

from config.catalogue import Model, Route, is_pipeline
from config.mapping import arguments_for
from worker.jobs.cost import Cost
from worker.jobs.job import Job, Options, Step
from worker.jobs.total_cost import total_cost
from worker.money.possible import possible_cost
from worker.routing.plan import plan
from worker.routing.routes import order

ROUNDING_USD = 1e-9


def over_budget(job: Job, following: Cost) -> str | None:
    """Why the job may not begin an attempt of this possible cost, for its error; None if it may."""
    limit, spent = job.options.max_usd, total_cost(job)
    if limit is None or _is_pipeline(job.step):
        return None
    if following.upper_usd is None:
        return f"its price is not known, and max_usd is {limit:g}"
    if spent.upper_usd is None:
        return f"the cost of earlier attempts is not known, and max_usd is {limit:g}"
    if spent.upper_usd + following.upper_usd <= limit + ROUNDING_USD:
        return None
    before = f" after {usd_up(spent.upper_usd)} for earlier attempts" if spent.upper_usd else ""
    return f"it may cost up to {usd_up(following.upper_usd)} USD{before}, and max_usd is {limit:g}"


def budget_problem(model: Model, step: Step, options: Options) -> str | None:
    """Why no route of the request fits `max_usd`: the prices and the limit. None if one fits."""
    if options.max_usd is None or _is_pipeline(step):
        return None
    problems = list[str]()
    for route, cost in _possible_costs(model, step, options):
        if cost.upper_usd is not None and cost.upper_usd <= options.max_usd + ROUNDING_USD:
            return None
        problems.append(_price_of(route, cost.upper_usd))
    return f"is {options.max_usd:g} USD, and {'; '.join(dict.fromkeys(problems))}"


def least_usd(model: Model, step: Step, options: Options) -> float:
    """US dollars that the request costs at least, on its cheapest route: 0 where that depends on what is written."""
    costs = [cost for _, cost in _possible_costs(model, step, options)]
    return min(0.0 if cost.per == "token" or cost.upper_usd is None else cost.usd or 0.0 for cost in costs)


def _possible_costs(model: Model, step: Step, options: Options) -> Iterator[tuple[Route, Cost]]:
    """What an attempt may cost, for each route that the request may take."""
    first, *others = order(model, options.provider, options.providers, options.fallback)
    open_others = [r for r in others if plan(model, r, step).may_follow(allow_degraded=options.allow_degraded)]
    for route in (first, *open_others):
        yield route, possible_cost(model, route, step, arguments_for(route, step.arguments, step.extra))


def _is_pipeline(step: Step) -> bool:
    """Whether the limit holds for the steps, each of which is given what is left of it."""
    return is_pipeline(step.model)


def _price_of(route: Route, upper: float | None) -> str:
    name = f"{route.endpoint} of {route.provider}"
    return f"the price of {name} is not known" if upper is None else f"{name} may cost up to {usd_up(upper)} USD"


def usd_up(usd: float) -> str:
    """US dollars, never less than they are, so that a limit of this sum fits."""
    digits = 4 if usd >= 0.001 else 6
    return f"{math.ceil(round(usd * 10**digits, 3)) / 10**digits:.{digits}f}"
