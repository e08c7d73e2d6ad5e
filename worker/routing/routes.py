"""Which route next, and what an error leads to. Pure: it decides, the dispatcher carries out."""

from collections.abc import Callable
from dataclasses import dataclass

from config.catalogue import Model, Route
from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    KilnhandError,
    ProviderDisabledError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Attempt, Job
from worker.routing.order import OrderError, order
from worker.routing.plan import Plan, plan

MAX_ATTEMPTS = 3  # that a provider has taken
MAX_REFUSALS = 10  # that it has not: about 75 s of being refused or not reached
ELSEWHERE_TAKEN, ELSEWHERE_REFUSALS = 2, 3  # the same where another route may follow
ELSEWHERE_PAUSE_S = 10.0  # a longer Retry-After is not waited for there
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 10.0  # the brief's: exponential, 1 to 10 s
MAX_UNKNOWN = 2  # submissions of a job whose fate stays unknown: the second ends it
PAUSE_MAX_S = 300.0  # a Retry-After beyond this is not waited for
NO_OUTPUT = frozenset({"no_image", "bad_json", "bad_answer", "empty"})  # an answer that another try may better
RETIRED = "model_retired"


@dataclass(frozen=True)
class Again:
    """A new attempt on the same route after a pause."""

    after_s: float


@dataclass(frozen=True)
class Elsewhere:
    """A new attempt on the next route."""


@dataclass(frozen=True)
class Unknown:
    """Nobody can tell whether the provider has the job."""

    error: SubmitUnknownError


@dataclass(frozen=True)
class Failed:
    """The job ends with this error."""

    error: KilnhandError


Outcome = Again | Elsewhere | Unknown | Failed


@dataclass(frozen=True)
class RouteOption:
    """A route that the job may take, and what becomes of the request on it."""

    route: Route
    plan: Plan


@dataclass(frozen=True)
class RouteOptions:
    """The routes still open to a job, in order; why others are not; and what to set for those without a provider."""

    open: tuple[RouteOption, ...]
    shut: tuple[str, ...] = ()
    what_to_set: tuple[str, ...] = ()


def name_of(route: Route | Attempt) -> str:
    """A route's name on a row."""
    return f"{route.provider} {route.endpoint}"


def route_options(model: Model, job: Job, lacks: Callable[[str], str | None]) -> RouteOptions:
    """Every route of the job's order that it has not given up, may take, and has a provider for.

    `lacks` says of a provider what to set, or None. What the caller asked for itself, the first route, is no fallback.
    """
    found, shut, what_to_set = list[RouteOption](), list[str](), list[str]()
    for n, route in enumerate(_order(model, job)):
        way = RouteOption(route, plan(model, route, job.step.arguments, job.step.extra))
        if name_of(route) in job.given_up:
            continue
        if not way.plan.may_follow(allow_degraded=n == 0 or job.options.allow_degraded):
            shut.append(f"fallback refused: {way.plan.why}")
        elif lack := lacks(route.provider):
            shut.append(f"{route.provider} is disabled")
            what_to_set.append(lack)
        else:
            found.append(way)
    if not job.options.fallback and len(model.routes) > 1:
        shut.append("fallback refused: fallback=false")
    return RouteOptions(tuple(found), tuple(dict.fromkeys(shut)), tuple(dict.fromkeys(what_to_set)))


def no_route_error(model: Model, job: Job, found: RouteOptions) -> KilnhandError:
    """The error of a job whose every route lacks a provider."""
    names = ", ".join(dict.fromkeys(route.provider for route in _order(model, job)))
    return ProviderDisabledError(f"{model.name} needs {names}: {'; '.join(found.what_to_set or found.shut)}")


def _order(model: Model, job: Job) -> tuple[Route, ...]:
    """The job's routes. A catalogue that has changed since it was accepted may not know its providers any more."""
    try:
        return order(model, job.options.provider, job.options.providers, job.options.fallback)
    except OrderError:
        return model.routes if job.options.fallback else model.routes[:1]


def after_attempt(error: ExternalServiceError, job: Job, *, elsewhere: bool = False) -> Outcome:
    """What follows when an attempt did not bring a whole piece. `elsewhere`: another route may follow.

    Only what was refused, never arrived, or failed unbilled (fal does not bill 5xx) is tried again: a run that was paid
    for and brought a broken piece is not paid for a second time.
    """
    gone: Outcome = Elsewhere() if elsewhere else Failed(error)
    match error:
        case SubmitUnknownError():
            return Unknown(error)
        case RateLimitError() | ServiceUnavailableError() if _may_try_again(job, elsewhere):
            pause = max(error.retry_after_s or 0.0, backoff_s(len(_here(job))))
            return Again(pause) if pause <= (ELSEWHERE_PAUSE_S if elsewhere else PAUSE_MAX_S) else gone
        case RateLimitError() | ServiceUnavailableError() | AuthenticationError():
            return gone
        case ContentRefusedError():
            return gone if job.options.fallback_on_policy else Failed(error)
        case RequestRefusedError(kind=kind) if kind == RETIRED:
            return gone
        case BrokenPieceError(kind=kind) if kind in NO_OUTPUT:
            return Again(BACKOFF_MIN_S) if _without_output(job) < 2 else gone
        case _:
            return Failed(error)


def leads_elsewhere(error: ExternalServiceError, job: Job) -> bool:
    """Whether this error would have led to another route, had there been one."""
    return isinstance(after_attempt(error, job, elsewhere=True), Elsewhere)


def _here(job: Job) -> list[Attempt]:
    """The attempts on the route of the last one."""
    last = job.attempts[-1] if job.attempts else None
    return [attempt for attempt in job.attempts if last and name_of(attempt) == name_of(last)]


def _may_try_again(job: Job, elsewhere: bool) -> bool:
    here = _here(job)
    taken = sum(attempt.was_taken for attempt in here)
    most_taken, most_refused = (ELSEWHERE_TAKEN, ELSEWHERE_REFUSALS) if elsewhere else (MAX_ATTEMPTS, MAX_REFUSALS)
    return taken < most_taken and len(here) - taken < most_refused


def _without_output(job: Job) -> int:
    """Attempts here that ended without output, the last one included, whose trouble is not on the row yet."""
    troubles = [attempt.error for attempt in _here(job)[:-1]]
    return 1 + sum(trouble is not None and trouble.kind in NO_OUTPUT for trouble in troubles)


def may_risk_duplicate(job: Job) -> bool:
    """Whether a submission that nobody could find may be made again, at the risk of paying twice."""
    return sum(_is_lost(attempt) for attempt in job.attempts) < MAX_UNKNOWN


def is_possible_duplicate(job: Job) -> bool:
    """Whether the attempt to come may be a second run of one that was lost from sight."""
    return any(_is_lost(attempt) for attempt in job.attempts)


def _is_lost(attempt: Attempt) -> bool:
    return attempt.ticket is None and attempt.error is not None and attempt.error.code == SubmitUnknownError.code


def is_inconclusive(error: ExternalServiceError) -> bool:
    """Whether a look that failed says nothing about the job. A bad key counts too: somebody may mend it meanwhile."""
    return isinstance(error, RateLimitError | ServiceUnavailableError | AuthenticationError)


def backoff_s(attempts: int) -> float:
    """1, 2, 4, 8, 10, 10, … seconds."""
    return min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** max(0, attempts - 1))
