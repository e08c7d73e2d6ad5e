"""The routes that a job may take, in order, how its files reach each, and why others are refused. Pure.

`retry` says what follows an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.catalogue import Model, Route
from worker.errors import KilnhandError, OverBudgetError, ProviderDisabledError
from worker.jobs.file_arguments import FileArgument, file_arguments
from worker.jobs.job import Attempt, FileKind, Job, Step
from worker.routing.plan import Plan, plan

_STREAM = "-stream"  # after a provider's name: its runs that are read from a stream
_IN_MEMORY: frozenset[FileKind] = frozenset({"image", "mask"})


@dataclass(frozen=True)
class CallFiles:
    """The files of a step on a route.

    `in_call` are sent inside the call, in the order of `route.files`, which is also the order in which a prompt counts
    them. The provider fetches the others. Those that it cannot fetch are uploaded: `pictures` (masks too) through
    memory, `large` files (videos, sounds, weights, archives) through the disk.
    """

    in_call: tuple[FileArgument, ...]
    pictures: tuple[FileArgument, ...]
    large: tuple[FileArgument, ...]


@dataclass(frozen=True)
class RouteOption:
    """A route that the job may take, with its plan, and how the job's files reach it."""

    route: Route
    plan: Plan
    files: CallFiles


@dataclass(frozen=True)
class RouteOptions:
    """The routes still open to a job, in order; why others are refused; settings that would enable disabled ones.

    `too_dear` are those of `refused` that the job's `max_usd` excludes.
    """

    open: tuple[RouteOption, ...]
    refused: tuple[str, ...] = ()
    what_to_set: tuple[str, ...] = ()
    too_dear: tuple[str, ...] = ()


def name_of(route: Route | Attempt) -> str:
    """A route's name on a row."""
    return f"{route.provider} {route.endpoint}"


def route_options(
    model: Model,
    job: Job,
    lacks: Callable[[str], str | None],
    too_dear: Callable[[Route], str | None] | None = None,
) -> RouteOptions:
    """The routes in the job's order that it has not given up, may take and pay, and whose provider is enabled.

    `lacks` returns what to set to enable a provider, or None if it is enabled; `too_dear` why an attempt on a route
    could take the job above its `max_usd`, or None. The first route is no fallback: the caller asked for it.
    """
    found, refused, what_to_set, dear = list[RouteOption](), list[str](), list[str](), list[str]()
    for n, route in enumerate(_order(model, job)):
        if name_of(route) in job.given_up:
            continue
        option = RouteOption(route, plan(model, route, job.step), call_files(route, job.step))
        if not option.plan.may_follow(allow_degraded=n == 0 or job.options.allow_degraded):
            refused.append(f"fallback refused: {option.plan.why}")
        elif lack := lacks(route.provider):
            refused.append(f"{route.provider} is disabled")
            what_to_set.append(lack)
        elif why := too_dear(route) if too_dear else None:
            dear.append(f"{route.endpoint} of {route.provider} refused: {why}")
            refused.append(dear[-1])
        else:
            found.append(option)
    if not job.options.fallback and len(model.routes) > 1:
        refused.append("fallback refused: fallback=false")
    return RouteOptions(tuple(found), *(tuple(dict.fromkeys(texts)) for texts in (refused, what_to_set, dear)))


def no_route_error(model: Model, job: Job, found: RouteOptions) -> KilnhandError:
    """The error of a job that no route is open to: all are too dear for its `max_usd`, or their providers disabled."""
    if found.too_dear:
        failed = [f"attempt {each.number}: {each.error.message}" for each in job.attempts if each.error]
        return OverBudgetError("; ".join([*found.refused, *failed]))
    names = ", ".join(dict.fromkeys(route.provider for route in _order(model, job)))
    return ProviderDisabledError(f"{model.name} needs {names}: {'; '.join(found.what_to_set or found.refused)}")


def _order(model: Model, job: Job) -> tuple[Route, ...]:
    """The job's routes. The catalogue may have changed since the job was accepted and lack its providers."""
    try:
        return order(model, job.options.provider, job.options.providers, job.options.fallback)
    except OrderError:
        return model.routes if job.options.fallback else model.routes[:1]


def call_files(route: Route, step: Step) -> CallFiles:
    """How the files of a step reach a route. Files of parameters that the route does not take are omitted."""
    files = file_arguments(step)
    in_call = tuple(file for name in route.files for file in files if file.parameter == name)
    as_urls = {
        name for name, value in step.arguments.items() if name not in route.files and not route.problem(name, value)
    }
    fetched = [file for file in files if file.parameter in as_urls]
    return CallFiles(
        in_call,
        pictures=tuple(file for file in fetched if file.kind in _IN_MEMORY),
        large=tuple(file for file in fetched if file.kind not in _IN_MEMORY),
    )


class OrderError(ValueError):
    """The caller's order is invalid. `field` is the option at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.problem = message


def order(
    model: Model, provider: str | None = None, providers: Sequence[str] | None = None, fallback: bool = True
) -> tuple[Route, ...]:
    """The model's routes in the order in which they are tried.

    `provider` comes first and the others follow; `providers` is the whole order, and no other provider is tried.
    Without `fallback` only the first route remains. Raises `OrderError`.
    """
    if provider is not None and providers is not None:
        raise OrderError("provider", "provider and providers cannot be used together")
    if providers is not None:
        named = [route for name in _checked_names(model, providers) for route in _routes_to(model, "providers", name)]
        found = tuple(route for n, route in enumerate(named) if route not in named[:n])
    elif provider is not None:
        first = _routes_to(model, "provider", provider)
        found = (*first, *(route for route in model.routes if route not in first))
    else:
        found = model.routes
    return found if fallback else found[:1]


def _checked_names(model: Model, providers: Sequence[str]) -> Sequence[str]:
    if not providers:
        raise OrderError("providers", f"is empty; {model.name} has routes to {_providers_of(model)}")
    if len(set(providers)) < len(providers):
        raise OrderError("providers", "names a provider twice")
    return providers


def routes_to(model: Model, provider: str) -> tuple[Route, ...]:
    """The model's routes to a provider. Where it has none, `fal` is `fal-stream`: the same provider, by a stream."""
    found = tuple(route for route in model.routes if route.provider == provider)
    return found or tuple(route for route in model.routes if route.provider == f"{provider}{_STREAM}")


def _routes_to(model: Model, field: str, provider: str) -> tuple[Route, ...]:
    if found := routes_to(model, provider):
        return found
    raise OrderError(field, f"{model.name} has no route to {provider[:50]!r}; it has routes to {_providers_of(model)}")


def _providers_of(model: Model) -> str:
    return ", ".join(dict.fromkeys(route.provider for route in model.routes))
