"""What a status says of a job that waits, has ended, or will be tried again."""

from dataclasses import replace

import pytest

from worker.jobs.job import Attempt, ErrorRecord, HistoryEntry, Job, Observation, Options, Stage, Step
from worker.jobs.status import status_of

JOB = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), 0.0)
HALF = Observation(running=True, progress=0.5)


@pytest.mark.parametrize(
    ("stage", "ending", "observed", "progress", "is_estimated"),
    [
        (Stage.CANCELLED, Stage.CANCELLED, Observation(), 0.0, True),
        (Stage.CLOSING, Stage.CANCELLED, HALF, 0.5, True),
        (Stage.FAILED, Stage.FAILED, HALF, 0.5, True),
        (Stage.CLOSING, Stage.COMPLETED, HALF, 1.0, False),
        (Stage.COMPLETED, None, HALF, 1.0, False),
    ],
)
def test_only_a_completed_job_is_wholly_done(
    stage: Stage, ending: Stage | None, observed: Observation, progress: float, is_estimated: bool
) -> None:
    status = status_of(replace(JOB, stage=stage, ending=ending, observed=observed), 9.0)

    assert (status.progress, status.progress_estimated) == (progress, is_estimated)


def test_the_error_of_an_attempt_is_shown_until_the_next_one_begins() -> None:
    failed = Attempt(1, "fal", "fal-ai/flux/schnell", 0.0, error=ErrorRecord("rate_limit", "fal: HTTP 429"))
    between = replace(JOB, attempts=(failed,))
    next_one = replace(between, stage=Stage.SUBMITTING, attempts=(failed, replace(failed, number=2, error=None)))

    assert status_of(between, 9.0).delayed_by == "attempt 1 failed: fal: HTTP 429"
    assert status_of(next_one, 9.0).delayed_by is None
    assert status_of(between, 9.0).error is None


def test_a_lost_submission_is_the_reason_of_a_delay() -> None:
    lost = replace(JOB, stage=Stage.UNKNOWN, attempts=(Attempt(1, "fal", "fal-ai/flux/schnell", 0.0),))

    assert status_of(lost, 9.0).delayed_by == "the answer to attempt 1 was lost: its run is searched for at fal"


def test_a_provider_that_may_not_be_asked_is_the_reason_of_a_delay() -> None:
    held = replace(JOB, history=(HistoryEntry(3.0, "held_back", "fal's circuit is open"),))

    assert status_of(held, 9.0).delayed_by == "fal's circuit is open"
    assert status_of(JOB, 9.0).delayed_by is None
