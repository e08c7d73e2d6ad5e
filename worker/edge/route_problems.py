"""Why the providers that a caller names cannot serve a request. `delay()` and workers refuse it with these words."""

from config.catalogue import Model
from worker.jobs.job import Step
from worker.jobs.request import JobOptions
from worker.money.budget import budget_problem
from worker.routing.plan import Equivalence, plan
from worker.routing.routes import OrderError, order


def route_problems(model: Model, options: JobOptions, step: Step) -> list[tuple[str, str]]:
    """Why the providers that the caller names cannot serve the request, or no route does within `max_usd`."""
    try:
        first = order(model, options.provider, options.providers, options.fallback)[0]
    except OrderError as error:
        return [(error.field, error.problem)]
    found = plan(model, first, step)
    if first is model.first_route or found.may_follow(allow_degraded=options.allow_degraded):
        dear = budget_problem(model, step, options.values())
        return [("max_usd", dear)] if dear else []
    leave = "" if found.equivalence is Equivalence.IMPOSSIBLE else "; allow_degraded accepts that"
    return [("providers" if options.providers else "provider", f"{first.provider} would lose {found.why}{leave}")]
