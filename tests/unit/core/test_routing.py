"""Which error leads to what."""

from dataclasses import replace

import pytest

from config.catalogue import load_catalogue
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    ProviderDisabledError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)  # fmt: skip
from worker.job import Attempt, Job, Options, Step, Ticket
from worker.routing import Again, Failed, Outcome, Unknown, after_attempt, backoff_s, route_for, says_nothing

JOB = Job("a", "t", "q", {}, Step("m", {}, ()), Options(), 1.0)


def tried(times: int) -> Job:
    return replace(JOB, attempts=tuple(Attempt(n + 1, "fal", "e", 1.0) for n in range(times)))


TABLE: list[tuple[ExternalServiceError, int, type[Outcome]]] = [
    (RateLimitError(), 1, Again),
    (RateLimitError(), 2, Again),
    (RateLimitError(), 9, Again),
    (RateLimitError(), 10, Failed),
    (RateLimitError(retry_after_s=120), 1, Again),
    (RateLimitError(retry_after_s=3600), 1, Failed),
    (ServiceUnavailableError(), 1, Again),
    (ServiceUnavailableError(), 10, Failed),
    (SubmitUnknownError(), 1, Unknown),
    (SubmitUnknownError(), 3, Unknown),
    (AuthenticationError(), 1, Failed),
    (AccountLockedError(), 1, Failed),
    (RequestRefusedError(), 1, Failed),
    (ContentRefusedError(), 1, Failed),
    (BrokenPieceError(), 1, Failed),  # it was paid for: a second run would be paid for too
    (ExternalServiceError(), 1, Failed),
]


@pytest.mark.parametrize(("error", "times", "outcome"), TABLE)
def test_an_attempts_error_leads_to_its_outcome(
    error: ExternalServiceError, times: int, outcome: type[Outcome]
) -> None:
    assert type(after_attempt(error, tried(times))) is outcome


def test_runs_that_were_taken_are_tried_three_times_at_most() -> None:
    def taken(times: int) -> Job:
        job = tried(times)
        return replace(job, attempts=tuple(replace(attempt, ticket=Ticket("r")) for attempt in job.attempts))

    assert type(after_attempt(ServiceUnavailableError(), taken(2))) is Again
    assert type(after_attempt(ServiceUnavailableError(), taken(3))) is Failed


def test_a_pause_honours_retry_after_and_else_doubles_from_one_to_ten_seconds() -> None:
    assert after_attempt(RateLimitError(retry_after_s=42), tried(1)) == Again(42)
    assert after_attempt(RateLimitError(retry_after_s=0.1), tried(2)) == Again(2)
    assert [backoff_s(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_a_look_that_failed_says_nothing_about_the_job_unless_the_provider_denies_it() -> None:
    assert all(says_nothing(error) for error in (RateLimitError(), ServiceUnavailableError(), AuthenticationError()))
    assert not says_nothing(RequestRefusedError())


def test_the_first_enabled_route_is_taken_and_a_disabled_one_says_what_to_set() -> None:
    model = load_catalogue().find("flux-dev")
    assert route_for(model, {"fal"}, "set FAL_KEY").endpoint == "fal-ai/flux/dev"
    with pytest.raises(ProviderDisabledError, match="flux-dev needs fal, vertex: set FAL_KEY"):
        route_for(model, set(), "set FAL_KEY")
