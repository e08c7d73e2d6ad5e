"""Which error leads to what."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
from worker.jobs.job import Attempt, ErrorRecord, Job, Options, Step, Ticket
from worker.routing.retry import Again, Elsewhere, Failed, Outcome, Unknown, after_attempt, backoff_s, is_inconclusive
from worker.routing.routes import no_route_error, route_options

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
    assert all(is_inconclusive(error) for error in (RateLimitError(), ServiceUnavailableError(), AuthenticationError()))
    assert not is_inconclusive(RequestRefusedError())


def lacks(*missing: str) -> Callable[[str], str | None]:
    """What to set for these providers; the others are enabled."""
    return lambda name: f"set {name.upper()}_KEY" if name in missing else None


def job_of(model: str, *given_up: str, **options: Any) -> Job:
    arguments = {"prompt": "x", **options.pop("arguments", {})}
    extra = options.pop("extra", {})
    return replace(JOB, step=Step(model, arguments, (), extra), options=Options(**options), given_up=given_up)


SCHNELL, VERTEX = "fal fal-ai/flux/schnell", "vertex gemini-nano-banana-2.1"
OPTIONS: list[tuple[Job, tuple[str, ...], list[str], list[str]]] = [  # job, providers lacking, open, refused
    (job_of("flux-schnell"), (), [SCHNELL, VERTEX], []),
    (job_of("flux-schnell"), ("vertex",), [SCHNELL], ["vertex is disabled"]),
    (job_of("flux-schnell"), ("fal",), [VERTEX], ["fal is disabled"]),
    (job_of("flux-schnell"), ("fal", "vertex"), [], ["fal is disabled", "vertex is disabled"]),
    (job_of("flux-schnell", SCHNELL), (), [VERTEX], []),
    (job_of("flux-schnell", SCHNELL, VERTEX), (), [], []),
    (job_of("flux-schnell", fallback=False), (), [SCHNELL], ["fallback refused: fallback=false"]),
    (job_of("flux-schnell", provider="vertex"), (), [VERTEX, SCHNELL], []),
    (job_of("flux-schnell", providers=("vertex",)), (), [VERTEX], []),
    (job_of("flux-schnell", providers=("vertex", "fal"), fallback=False), (), [VERTEX], ["fallback refused: fallback=false"]),
    (job_of("flux-schnell", arguments={"seed": 7}), (), [SCHNELL], ["fallback refused: seed"]),
    (job_of("flux-schnell", arguments={"seed": 7}, allow_degraded=True), (), [SCHNELL, VERTEX], []),
    (job_of("flux-lora", arguments={"loras": [{"path": "p"}]}), (), ["fal fal-ai/flux-lora"], ["fallback refused: loras"]),
    (
        job_of("flux-lora", arguments={"loras": [{"path": "p"}]}, allow_degraded=True),
        (), ["fal fal-ai/flux-lora", VERTEX], [],
    ),
    (job_of("flux-schnell", extra={"acceleration": "high"}), (), [SCHNELL], ["fallback refused: extra.acceleration"]),
    (job_of("flux-schnell", providers=("nobody",)), (), [SCHNELL, VERTEX], []),  # the catalogue has changed since
]  # fmt: skip


@pytest.mark.parametrize(("job", "missing", "is_open", "refused"), OPTIONS)
def test_the_routes_that_are_left_to_a_job(
    job: Job, missing: tuple[str, ...], is_open: list[str], refused: list[str]
) -> None:
    found = route_options(load_catalogue().find(job.step.model), job, lacks(*missing))
    assert [f"{way.route.provider} {way.route.endpoint}" for way in found.open] == is_open
    assert list(found.refused) == refused


def test_a_job_that_no_provider_can_serve_says_what_to_set() -> None:
    model, job = load_catalogue().find("flux-dev"), job_of("flux-dev")
    error = no_route_error(model, job, route_options(model, job, lacks("fal", "vertex")))
    assert isinstance(error, ProviderDisabledError)
    assert error.message == "flux-dev needs fal, vertex: set FAL_KEY; set VERTEX_KEY"


ELSEWHERE: list[tuple[ExternalServiceError, int, bool, type[Outcome]]] = [  # error, attempts here, on_policy, outcome
    (ServiceUnavailableError(), 1, False, Again),
    (ServiceUnavailableError(), 2, False, Again),
    (ServiceUnavailableError(), 3, False, Elsewhere),
    (RateLimitError(), 1, False, Again),
    (RateLimitError(), 3, False, Elsewhere),
    (RateLimitError(retry_after_s=10), 1, False, Again),
    (RateLimitError(retry_after_s=11), 1, False, Elsewhere),
    (AuthenticationError(), 1, False, Elsewhere),
    (AccountLockedError(), 1, False, Elsewhere),
    (RequestRefusedError(), 1, False, Failed),
    (RequestRefusedError(kind="model_retired"), 1, False, Elsewhere),
    (ContentRefusedError(), 1, False, Failed),
    (ContentRefusedError(), 1, True, Elsewhere),
    (RequestRefusedError(), 1, True, Failed),
    (BrokenPieceError(), 1, True, Failed),
    (BrokenPieceError(kind="no_image"), 1, False, Again),
    (BrokenPieceError(kind="no_image"), 2, False, Elsewhere),
    (BrokenPieceError(kind="bad_json"), 2, False, Elsewhere),
    (BrokenPieceError(kind="bad_answer"), 1, False, Again),
    (BrokenPieceError(kind="bad_answer"), 2, False, Elsewhere),
    (SubmitUnknownError(), 1, False, Unknown),
    (SubmitUnknownError(), 3, True, Unknown),
    (ExternalServiceError(), 1, True, Failed),
]


@pytest.mark.parametrize(("error", "times", "on_policy", "outcome"), ELSEWHERE)
def test_where_an_error_leads_when_another_route_is_open(
    error: ExternalServiceError, times: int, on_policy: bool, outcome: type[Outcome]
) -> None:
    job = replace(tried(times), options=Options(fallback_on_policy=on_policy))
    before = ErrorRecord(error.code, error.message, kind=error.kind)
    job = replace(
        job, attempts=tuple(replace(attempt, error=before) for attempt in job.attempts[:-1]) + job.attempts[-1:]
    )
    assert type(after_attempt(error, job, elsewhere=True)) is outcome
    if outcome is Elsewhere and not isinstance(error, RateLimitError | ServiceUnavailableError):
        assert type(after_attempt(error, job)) is Failed, "without another route it is the end"


def test_what_was_tried_on_another_route_does_not_count_here() -> None:
    elsewhere = tuple(Attempt(n, "vertex", "g", 1.0) for n in range(1, 6))
    job = replace(JOB, attempts=(*elsewhere, Attempt(6, "fal", "e", 1.0)))
    assert after_attempt(ServiceUnavailableError(), job, elsewhere=True) == Again(1.0)
