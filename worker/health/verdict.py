"""What an answer says about its provider's health. Pure; `worker.health.base` counts it.

`good` and `bad` are counted in the window. The other verdicts act at once or are ignored. A bad request is ignored,
since a healthy provider refuses it too: if it counted, one caller could open a provider's circuit for all.
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

MODEL_RETIRED = "model_retired"  # the `kind` of a refusal: the provider no longer serves this model

VerdictKind = Literal["good", "bad", "limited", "locked", "forbidden", "retired", "ignored"]


@dataclass(frozen=True)
class Verdict:
    """What one answer says about a provider."""

    kind: VerdictKind
    retry_after_s: float | None = None
    count: int = 1  # one report may stand for many good answers


GOOD = Verdict("good")  # a proper answer
IGNORED = Verdict("ignored")  # says nothing about the provider: our fault, a bad request, or a cancel


def verdict_of(error: ExternalServiceError | None) -> Verdict:
    """The verdict for this error; `error` is None for an answer without one."""
    match error:
        case None:
            return GOOD
        case RateLimitError():  # healthy, but asks for a pause: act on the first one, not on a ratio
            return Verdict("limited", error.retry_after_s)
        case ServiceUnavailableError() | SubmitUnknownError():  # a lost answer is a failure in any case
            return Verdict("bad", error.retry_after_s)
        case AccountLockedError():  # the provider refuses every submission
            return Verdict("locked")
        case AuthenticationError(status=403):  # the key is valid, but may not use this model
            return Verdict("forbidden")
        case AuthenticationError():
            return Verdict("locked")
        case RequestRefusedError(kind=kind) if kind == MODEL_RETIRED:
            return Verdict("retired")
        case _:
            # A refused request or content is the caller's fault. A broken piece (black, cut short, missing) comes
            # from a working provider, is paid for, and is mostly the prompt's fault. Other errors prove nothing.
            return IGNORED
