"""Which of a row's changes are worth publishing."""

from dataclasses import replace

import pytest

from worker.engine.publishing import is_worth_telling
from worker.jobs.job import Attempt, Job, Kind, Options, Piece, Sight, Stage, Step

BEFORE = Job(
    "a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), 0.0, Stage.WAITING,
    (Attempt(1, "fal", "fal-ai/flux/schnell", 0.0),), told_at=100.0, sight=Sight(True, progress=0.3, logs=("1/10",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("sight", "after_s", "is_told"),
    [
        (Sight(True, progress=0.32, logs=("1/10",)), 2.0, False),
        (Sight(True, progress=0.32, logs=("1/10",)), 5.0, True),
        (Sight(True, progress=0.32, progress_estimated=False, logs=("1/10",)), 0.5, False),
        (Sight(True, progress=0.32, progress_estimated=False, logs=("1/10",)), 1.0, True),
        (Sight(True, progress=0.3, logs=("2/10",)), 1.0, True),
        (Sight(True, progress=0.6, logs=("1/10",)), 0.1, True),
        (BEFORE.sight, 60.0, False),
    ],
    ids=["estimate", "estimate later", "said", "said later", "a log line", "another quarter", "nothing new"],
)
def test_what_the_provider_says_is_told_sooner_than_what_the_clock_says(
    sight: Sight, after_s: float, is_told: bool
) -> None:
    assert is_worth_telling(BEFORE, replace(BEFORE, sight=sight), 100.0 + after_s) is is_told


def test_a_place_in_the_queue_is_told_when_it_changes_and_not_because_time_has_passed() -> None:
    queued = replace(BEFORE, sight=Sight(queue_position=3, queued_at=99.0))
    assert not is_worth_telling(queued, replace(queued, sight=Sight(queue_position=3, queued_at=101.5)), 101.5)
    assert is_worth_telling(queued, replace(queued, sight=Sight(queue_position=2, queued_at=101.5)), 101.5)


@pytest.mark.parametrize(("kind", "is_told"), [("image", False), ("weights", True)])
def test_pictures_on_their_way_to_the_store_are_not_told_of(kind: Kind, is_told: bool) -> None:
    waiting = replace(BEFORE, step=Step("flux-schnell", {}, (Piece("files", kind, "files.*"),)))
    fetched = replace(waiting, stage=Stage.FETCHED, sight=Sight(True, progress=1.0, progress_estimated=False))
    assert is_worth_telling(waiting, fetched, 100.1) is is_told
    again = replace(fetched, looks=1, sight=Sight(True, progress=1.0, progress_estimated=False, logs=("x",)))
    assert is_worth_telling(fetched, again, 101.5), "what stays there is told"
