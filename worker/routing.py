"""Which route next, and what an error leads to. Pure: it decides, the dispatcher carries out."""

from collections.abc import Collection
from dataclasses import dataclass

from config.catalogue import Model, Route
from worker.errors import (
    AuthenticationError,
    ExternalServiceError,
    KilnhandError,
    ProviderDisabledError,
    RateLimitError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.job import Attempt, Job

MAX_ATTEMPTS = 3  # that a provider has taken
MAX_REFUSALS = 10  # that it has not: about 75 s of being refused or not reached
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 10.0  # the brief's: exponential, 1 to 10 s
MAX_UNKNOWN = 2  # submissions of a job whose fate stays unknown: the second ends it
PAUSE_MAX_S = 300.0  # a Retry-After beyond this is not waited for


@dataclass(frozen=True)
class Again:
    """A new attempt after a pause."""

    after_s: float


@dataclass(frozen=True)
class Unknown:
    """Nobody can tell whether the provider has the job."""

    error: SubmitUnknownError


@dataclass(frozen=True)
class Failed:
    """The job ends with this error."""

    error: KilnhandError


Outcome = Again | Unknown | Failed


def route_for(model: Model, enabled: Collection[str], disabled_why: str) -> Route:
    """The first route whose provider is enabled. Raises `ProviderDisabledError`, which says what to set."""
    for route in model.routes:
        if route.provider in enabled:
            return route
    names = ", ".join(dict.fromkeys(route.provider for route in model.routes))
    raise ProviderDisabledError(f"{model.name} needs {names}: {disabled_why}")


def after_attempt(error: ExternalServiceError, job: Job) -> Outcome:
    """What follows when an attempt did not bring a whole piece.

    Only what was refused, never arrived, or failed unbilled (fal does not bill 5xx) is tried again: a run that was paid
    for and brought a broken piece is not paid for a second time.
    """
    match error:
        case SubmitUnknownError():
            return Unknown(error)
        case RateLimitError() | ServiceUnavailableError() if _may_try_again(job):
            pause = max(error.retry_after_s or 0.0, backoff_s(len(job.attempts)))
            return Again(pause) if pause <= PAUSE_MAX_S else Failed(error)
        case _:
            return Failed(error)


def _may_try_again(job: Job) -> bool:
    taken = sum(attempt.ticket is not None for attempt in job.attempts)
    return taken < MAX_ATTEMPTS and len(job.attempts) - taken < MAX_REFUSALS


def may_risk_duplicate(job: Job) -> bool:
    """Whether a submission that nobody could find may be made again, at the risk of paying twice."""
    return sum(_is_lost(attempt) for attempt in job.attempts) < MAX_UNKNOWN


def is_possible_duplicate(job: Job) -> bool:
    """Whether the attempt to come may be a second run of one that was lost from sight."""
    return any(_is_lost(attempt) for attempt in job.attempts)


def _is_lost(attempt: Attempt) -> bool:
    return attempt.ticket is None and attempt.trouble is not None and attempt.trouble.code == SubmitUnknownError.code


def says_nothing(error: ExternalServiceError) -> bool:
    """Whether a look that failed says nothing about the job. A bad key counts too: somebody may mend it meanwhile."""
    return isinstance(error, RateLimitError | ServiceUnavailableError | AuthenticationError)


def backoff_s(attempts: int) -> float:
    """1, 2, 4, 8, 10, 10, … seconds."""
    return min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** max(0, attempts - 1))
