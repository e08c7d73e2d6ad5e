"""The routes that a job may take, in order, and why others are closed to it. Pure.

What an error leads to is in `retry`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from config.catalogue import Model, Route
from worker.errors import KilnhandError, ProviderDisabledError
from worker.jobs.job import Attempt, Job
from worker.routing.order import OrderError, order
from worker.routing.plan import Plan, plan


@dataclass(frozen=True)
class RouteOption:
    """A route that the job may take, and what becomes of the request on it."""

    route: Route
    plan: Plan


@dataclass(frozen=True)
class RouteOptions:
    """The routes still open to a job, in order; why others are refused; what to set for those without a provider."""

    open: tuple[RouteOption, ...]
    refused: tuple[str, ...] = ()
    what_to_set: tuple[str, ...] = ()


def name_of(route: Route | Attempt) -> str:
    """A route's name on a row."""
    return f"{route.provider} {route.endpoint}"


def route_options(model: Model, job: Job, lacks: Callable[[str], str | None]) -> RouteOptions:
    """Every route of the job's order that it has not given up, may take, and has a provider for.

    `lacks` says of a provider what to set, or None. What the caller asked for itself, the first route, is no fallback.
    """
    found, refused, what_to_set = list[RouteOption](), list[str](), list[str]()
    for n, route in enumerate(_order(model, job)):
        option = RouteOption(route, plan(model, route, job.step))
        if name_of(route) in job.given_up:
            continue
        if not option.plan.may_follow(allow_degraded=n == 0 or job.options.allow_degraded):
            refused.append(f"fallback refused: {option.plan.why}")
        elif lack := lacks(route.provider):
            refused.append(f"{route.provider} is disabled")
            what_to_set.append(lack)
        else:
            found.append(option)
    if not job.options.fallback and len(model.routes) > 1:
        refused.append("fallback refused: fallback=false")
    return RouteOptions(tuple(found), tuple(dict.fromkeys(refused)), tuple(dict.fromkeys(what_to_set)))


def no_route_error(model: Model, job: Job, found: RouteOptions) -> KilnhandError:
    """The error of a job whose every route lacks a provider."""
    names = ", ".join(dict.fromkeys(route.provider for route in _order(model, job)))
    return ProviderDisabledError(f"{model.name} needs {names}: {'; '.join(found.what_to_set or found.refused)}")


def _order(model: Model, job: Job) -> tuple[Route, ...]:
    """The job's routes. A catalogue that has changed since it was accepted may not know its providers any more."""
    try:
        return order(model, job.options.provider, job.options.providers, job.options.fallback)
    except OrderError:
        return model.routes if job.options.fallback else model.routes[:1]
