"""Again, elsewhere, or never: every number and every rule of trying again. Pure.

An error leads to one of four outcomes. The engine carries them out.
"""

from dataclasses import dataclass

from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    KilnhandError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Attempt, Job
from worker.routing.routes import name_of

# Attempts of a job
MAX_ATTEMPTS = 3  # that a provider has taken
MAX_REFUSALS = 10  # that it has not: about 75 s of refusals and failed connections
ELSEWHERE_TAKEN, ELSEWHERE_REFUSALS = 2, 3  # the same where another route may follow
MAX_UNKNOWN = 2  # submissions whose fate stays unknown: the second ends the job
NO_OUTPUT = frozenset({"no_image", "bad_json", "bad_answer", "empty"})  # an answer that another try may better
RETIRED = "model_retired"

# Pauses
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 10.0  # the brief's: exponential, 1 to 10 s. `worker.health` uses the same
PAUSE_MAX_S = 300.0  # a longer Retry-After is not waited for
ELSEWHERE_PAUSE_S = 10.0  # nor is one longer than this where another route may follow
BRIEF_S = 2.0  # a provider that may be asked again so soon is waited for where another route may follow
HELD_MAX_S = 75.0  # a job waits so long for a circuit to close; ten refusals take as long

# Steps of an attempt, each safe to repeat
FILE_TRIES = 5  # downloads of the files that go with a call, before anything is sent
FETCH_TRIES, BROKEN_TRIES = 30, 2  # downloads of a paid piece; a CDN may once answer with a page in its place
STORE_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)  # between tries to store what came in an answer
FORGOTTEN_POLLS = 3  # times that a provider must deny a request before it is believed
WEBHOOK_POLLS = 5  # failed polls before a webhook's payload is taken without the bill that comes with the answer
CANCEL_AGAIN_S, CANCEL_FOR_S = 2.0, 30.0  # a provider out of reach is asked to stop so often, for so long

# Messages
RESEND_S = 8.0  # a message that nobody confirmed is sent again after this, then in doubling steps
SENDINGS = 20  # of a message that no worker accepts: about an hour and a half


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


def retry_pause_s(error: ExternalServiceError, tries: int) -> float:
    """Seconds before a step that is safe to repeat is tried again: its back-off, or a longer Retry-After."""
    return max(asked_pause_s(error), backoff_s(tries))


def asked_pause_s(error: ExternalServiceError) -> float:
    """The Retry-After of an error, within bounds; 0 without one."""
    return min(error.retry_after_s or 0.0, PAUSE_MAX_S)


def resend_pause_s(times: int) -> float:
    """Seconds before a message that was sent again `times` times is sent once more."""
    return min(RESEND_S * 2.0**times, PAUSE_MAX_S)
