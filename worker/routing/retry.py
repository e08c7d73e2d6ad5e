"""The retry policy: which error leads to which outcome, and every number of it. Pure.

An outcome is again, elsewhere, unknown or failed. The engine carries it out.
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
from worker.jobs.total_cost import booked_cost, is_lost
from worker.routing.routes import name_of

# Attempts of a job
MAX_ATTEMPTS = 3  # attempts that the provider has taken
MAX_REFUSALS = 10  # attempts that it has not taken: about 75 s of refusals and failed connections
ELSEWHERE_TAKEN, ELSEWHERE_REFUSALS = 2, 3  # the same two limits if another route may follow
MAX_UNKNOWN = 2  # submissions that are never found: the second one ends the job
NO_OUTPUT = frozenset({"no_image", "bad_json", "bad_answer", "empty"})  # kinds of answers that another try may improve
RETIRED = "model_retired"

# Searches for a lost submission
UNFRESH_S = 300.0  # how much longer a list is searched that shows no request after the lost one
SEARCHES = 10  # of such a list, at least; time alone proves nothing: perhaps no worker was there
FAILED_SEARCHES = 40  # of a list that cannot be read: about a quarter of an hour
FORBIDDEN_SEARCHES = 3  # of a list that our key may not read: its webhook may still come

# Pauses
BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 10.0  # required: exponential, 1 to 10 s. `worker.health` uses the same
PAUSE_MAX_S = 300.0  # a job does not wait for a longer Retry-After
ELSEWHERE_PAUSE_S = 10.0  # nor for one that is longer than this if another route may follow
BRIEF_S = 2.0  # a job waits this long for a provider even if another route may follow
HELD_MAX_S = 75.0  # a job waits this long for a circuit to close; ten refusals take as long

# Steps of an attempt, each safe to repeat
FILE_TRIES = 5  # downloads of the files of a call, before anything is sent
FETCH_TRIES, BROKEN_TRIES = 30, 2  # downloads of a paid piece; a CDN may answer once with an error page instead
STORE_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)  # between tries to store files from an answer
FORGOTTEN_POLLS = 3  # polls in which the provider denies a request before we believe it
WEBHOOK_POLLS = 5  # failed polls before a webhook's payload is used without the bill, which only the answer has
CANCEL_AGAIN_S, CANCEL_FOR_S = 2.0, 30.0  # pause between cancels to a provider that cannot be reached, and their end

# Messages
RESEND_S = 8.0  # an unconfirmed message is sent again after this, then after doubled pauses
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
    """It is unknown whether the provider has taken the job."""

    error: SubmitUnknownError


@dataclass(frozen=True)
class Failed:
    """The job ends with this error."""

    error: KilnhandError


Outcome = Again | Elsewhere | Unknown | Failed


def after_attempt(error: ExternalServiceError, job: Job, *, elsewhere: bool = False) -> Outcome:
    """What follows an attempt that did not bring a whole piece. `elsewhere`: another route may follow.

    An attempt is repeated only if it was refused, never arrived, or failed unbilled (fal does not bill 5xx). A run that
    was paid for and brought a broken piece is not paid for a second time.
    """
    leave: Outcome = Elsewhere() if elsewhere else Failed(error)
    match error:
        case SubmitUnknownError():
            return Unknown(error)
        case RateLimitError() | ServiceUnavailableError() if _may_try_again(job, elsewhere):
            pause = max(error.retry_after_s or 0.0, backoff_s(len(_here(job))))
            return Again(pause) if pause <= (ELSEWHERE_PAUSE_S if elsewhere else PAUSE_MAX_S) else leave
        case RateLimitError() | ServiceUnavailableError() | AuthenticationError():
            return leave
        case ContentRefusedError():
            return leave if job.options.fallback_on_policy else Failed(error)
        case RequestRefusedError(kind=kind) if kind == RETIRED:
            return leave
        case BrokenPieceError(kind=kind) if kind in NO_OUTPUT:
            return Again(BACKOFF_MIN_S) if _without_output(job) < 2 else leave
        case _:
            return Failed(error)


def leads_elsewhere(error: ExternalServiceError, job: Job) -> bool:
    """Whether this error would lead to another route if there were one."""
    return isinstance(after_attempt(error, job, elsewhere=True), Elsewhere)


def _here(job: Job) -> list[Attempt]:
    """The attempts on the last attempt's route."""
    last = job.attempts[-1] if job.attempts else None
    return [attempt for attempt in job.attempts if last and name_of(attempt) == name_of(last)]


def _may_try_again(job: Job, elsewhere: bool) -> bool:
    here = _here(job)
    taken = sum(attempt.was_taken for attempt in here)
    most_taken, most_refused = (ELSEWHERE_TAKEN, ELSEWHERE_REFUSALS) if elsewhere else (MAX_ATTEMPTS, MAX_REFUSALS)
    return taken < most_taken and len(here) - taken < most_refused


def _without_output(job: Job) -> int:
    """The number of attempts here without output. The last one counts: its error is not on the row yet."""
    errors = [attempt.error for attempt in _here(job)[:-1]]
    return 1 + sum(error is not None and error.kind in NO_OUTPUT for error in errors)


def may_submit_again(job: Job, *, is_absent: bool, possible_usd: float | None, most_usd: float) -> bool:
    """Whether a submission that was never found may be made again, although both may be billed.

    `is_absent`: its provider's list was read, is fresh, and does not have it. Without such a proof it is made again
    only if it costs at most `most_usd`; `possible_usd` is None if its price is unknown. The job's option `duplicates`
    decides instead where it is set.
    """
    if sum(is_lost(attempt) for attempt in job.attempts) >= MAX_UNKNOWN or job.options.duplicates == "never":
        return False
    is_cheap = possible_usd is not None and possible_usd <= most_usd
    return is_absent or is_cheap or job.options.duplicates == "allow"


def is_possible_duplicate(job: Job) -> bool:
    """Whether the next attempt may be the second paid run of a lost submission. A free one is paid for never."""
    return any(is_lost(attempt) and booked_cost(attempt).upper_usd != 0 for attempt in job.attempts)


def is_inconclusive(error: ExternalServiceError) -> bool:
    """Whether a failed poll says nothing about the job. A bad key counts too: somebody may correct it meanwhile."""
    return isinstance(error, RateLimitError | ServiceUnavailableError | AuthenticationError)


def backoff_s(attempts: int) -> float:
    """1, 2, 4, 8, 10, 10, … seconds."""
    return min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** max(0, attempts - 1))


def retry_pause_s(error: ExternalServiceError, tries: int) -> float:
    """Seconds before a step that is safe to repeat is retried: its backoff, or a longer Retry-After."""
    return max(asked_pause_s(error), backoff_s(tries))


def asked_pause_s(error: ExternalServiceError) -> float:
    """The Retry-After of an error in seconds, `PAUSE_MAX_S` at most; 0 without one."""
    return min(error.retry_after_s or 0.0, PAUSE_MAX_S)


def resend_pause_s(times: int) -> float:
    """Seconds until a message that was resent `times` times is resent once more."""
    return min(RESEND_S * 2.0**times, PAUSE_MAX_S)
