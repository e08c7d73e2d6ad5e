"""What the next attempt may cost, and the routes that the job's `max_usd` leaves open. Pure.

`worker.money` has the prices and the rule; this module knows what an attempt would send.
"""

from dataclasses import replace

from config.catalogue import Model, Route
from worker.engine.arguments import call_arguments
from worker.engine.context import Context
from worker.jobs.cost import Cost
from worker.jobs.job import Attempt, Job
from worker.money.budget import over_budget
from worker.money.possible import possible_cost
from worker.providers.base import ListPrice
from worker.routing.routes import RouteOptions, name_of, route_options
from worker.routing.served import Served, route_of


def affordable_routes(context: Context, model: Model, job: Job) -> RouteOptions:
    """The job's open routes (`worker.routing.routes`), without those that could take it above its `max_usd`."""

    def too_dear(route: Route) -> str | None:
        return over_budget(job, next_cost(context, model, job, route))

    return route_options(model, job, context.lacks, too_dear if job.options.max_usd is not None else None)


def next_cost(context: Context, model: Model, job: Job, route: Route) -> Cost:
    """The possible cost of the attempt that the job would begin now on this route."""
    attempt = Attempt(len(job.attempts) + 1, route.provider, route.endpoint, started_at=0.0)
    is_same_route = job.attempt is not None and name_of(job.attempt) == name_of(attempt)
    bad_answer = job.bad_answer if is_same_route else None
    following = replace(job, attempts=(*job.attempts, attempt), bad_answer=bad_answer)
    return possible_cost(model, route, job.step, call_arguments(following, route, context.checks.get(job.task)))


def cost_of_attempt(context: Context, model: Model, job: Job, attempt: Attempt) -> Cost:
    """What an attempt of the job may cost that was not booked when it began, or that was refused before."""
    route = route_of(model, attempt)
    arguments = call_arguments(job.with_last(attempt), route, context.checks.get(job.task))
    return possible_cost(model, route, job.step, arguments)


def list_price(context: Context, served: Served) -> ListPrice | None:
    """The price of the last attempt by its provider's list, for an endpoint that the catalogue has no price for.

    None if it is not known yet. The first question about an endpoint lets its provider read the price meanwhile.
    """
    provider = context.providers.get(served.route.provider)
    if provider is None or served.model.price_on(served.route) is not None:
        return None
    return provider.list_price(served.route.endpoint)
