"""What an error says about its provider's health. Pure: who counts it is `worker.health.base`.

Good and bad count. All others either say what to do at once, or nothing at all: a request that is refused for its own
sake would be refused by a healthy provider too, so counting it would let one caller shut a provider for all others.
"""

from dataclasses import dataclass
from typing import Literal

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)

MODEL_RETIRED = "model_retired"  # the `kind` of a refusal: the provider has taken this model away

Kind = Literal["good", "bad", "limited", "locked", "forbidden", "retired", "ignored"]


@dataclass(frozen=True)
class Verdict:
    """What an answer says about a provider."""

    kind: Kind
    retry_after_s: float | None = None
    times: int = 1  # good ones may be told in one for many


GOOD = Verdict("good")  # answered as it should
IGNORED = Verdict("ignored")  # says nothing: ours, the request's, or cancelled


def verdict_of(error: ExternalServiceError | None) -> Verdict:
    """The verdict on the provider that answered so; None for an answer without an error."""
    match error:
        case None:
            return GOOD
        case RateLimitError():  # well, but asks for a pause; it would be wrong to wait for a ratio of these
            return Verdict("limited", error.retry_after_s)
        case ServiceUnavailableError() | SubmitUnknownError():  # a lost answer is a failure, taken or not
            return Verdict("bad", error.retry_after_s)
        case AccountLockedError():  # every submission would be refused
            return Verdict("locked")
        case AuthenticationError(status=403):  # the key is known: it may not use this model
            return Verdict("forbidden")
        case AuthenticationError():
            return Verdict("locked")
        case RequestRefusedError(kind=kind) if kind == MODEL_RETIRED:
            return Verdict("retired")
        case _:
            # Refused requests and contents are the caller's. A broken piece (black, cut short, none) came from a
            # provider that works; it is paid for, and mostly the prompt's. Anything unnamed is not known to be ill.
            return IGNORED
