"""Why the providers that a caller names cannot serve a request. `delay()` and workers refuse it with these words."""

from config.catalogue import Catalogue, Model
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


def provider_problems(catalogue: Catalogue, options: JobOptions) -> list[tuple[str, str]]:
    """What is wrong with the providers of a pipeline, whatever its steps are."""
    if options.provider is not None and options.providers is not None:
        return [("provider", "provider and providers cannot be used together")]
    known = list(dict.fromkeys(route.provider for model in catalogue.models for route in model.routes))
    field, named = ("providers", options.providers) if options.providers else ("provider", [options.provider])
    unknown = [name for name in named or () if name is not None and name not in known]
    return [(field, f"no model has a route to {name[:50]!r}; providers: {', '.join(known)}") for name in unknown]
