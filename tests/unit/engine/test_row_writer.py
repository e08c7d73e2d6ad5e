"""Which of a row's changes are worth publishing."""

from dataclasses import replace

import pytest

from worker.engine.row_writer import should_publish
from worker.jobs.job import Attempt, ErrorRecord, Job, Kind, Observation, Options, Piece, Stage, Step
from worker.jobs.status import status_of

BEFORE = Job(
    "a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), 0.0, Stage.WAITING,
    (Attempt(1, "fal", "fal-ai/flux/schnell", 0.0),), published_at=100.0, observed=Observation(True, progress=0.3, logs=("1/10",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("sight", "after_s", "is_told"),
    [
        (Observation(True, progress=0.32, logs=("1/10",)), 2.0, False),
        (Observation(True, progress=0.32, logs=("1/10",)), 5.0, True),
        (Observation(True, progress=0.32, progress_estimated=False, logs=("1/10",)), 0.5, False),
        (Observation(True, progress=0.32, progress_estimated=False, logs=("1/10",)), 1.0, True),
        (Observation(True, progress=0.3, logs=("2/10",)), 1.0, True),
        (Observation(True, progress=0.6, logs=("1/10",)), 0.1, True),
        (BEFORE.observed, 60.0, False),
    ],
    ids=["estimate", "estimate later", "said", "said later", "a log line", "another quarter", "nothing new"],
)
def test_what_the_provider_says_is_told_sooner_than_what_the_clock_says(
    sight: Observation, after_s: float, is_told: bool
) -> None:
    assert should_publish(BEFORE, replace(BEFORE, observed=sight), 100.0 + after_s) is is_told


def test_a_place_in_the_queue_is_told_when_it_changes_and_not_because_time_has_passed() -> None:
    queued = replace(BEFORE, observed=Observation(queue_position=3, queued_at=99.0))
    assert not should_publish(queued, replace(queued, observed=Observation(queue_position=3, queued_at=101.5)), 101.5)
    assert should_publish(queued, replace(queued, observed=Observation(queue_position=2, queued_at=101.5)), 101.5)


def test_a_failed_attempt_is_published_although_the_job_stays_queued() -> None:
    submitting = replace(BEFORE, stage=Stage.SUBMITTING, observed=Observation())
    refused = replace(submitting, stage=Stage.ACCEPTED).with_attempt(error=ErrorRecord("rate_limited", "fal: HTTP 429"))

    assert should_publish(submitting, refused, 100.1)
    assert status_of(refused, 100.1).delayed_by == "attempt 1 failed: fal: HTTP 429"
    assert not should_publish(refused, replace(refused, tries=1), 160.0), "that it still waits is no news"


@pytest.mark.parametrize(("kind", "is_told"), [("image", False), ("weights", True)])
def test_pictures_on_their_way_to_the_store_are_not_told_of(kind: Kind, is_told: bool) -> None:
    waiting = replace(BEFORE, step=Step("flux-schnell", {}, (Piece("files", kind, "files.*"),)))
    fetched = replace(waiting, stage=Stage.FETCHED, observed=Observation(True, progress=1.0, progress_estimated=False))
    assert should_publish(waiting, fetched, 100.1) is is_told
    again = replace(fetched, tries=1, observed=Observation(True, progress=1.0, progress_estimated=False, logs=("x",)))
    assert should_publish(fetched, again, 101.5), "what stays there is told"
