"""When to look, and what is shown of what was seen."""

import pytest

from worker.engine.polling import estimated_progress, first_poll_s, next_poll_s, observe, progress_in_logs
from worker.jobs.job import Observation
from worker.providers.base import Queued, Running


@pytest.mark.parametrize("usual_s", [0.1, 1, 3, 10, 15])
def test_a_short_job_is_first_looked_at_just_before_it_usually_ends(usual_s: float) -> None:
    assert first_poll_s(usual_s) == max(0.3, 0.8 * usual_s)


@pytest.mark.parametrize("usual_s", [1.0, 10.0, 120.0, 1800.0])
def test_steps_grow_with_the_wait_and_stay_within_bounds(usual_s: float) -> None:
    steps = [next_poll_s(usual_s, elapsed, True, 0.5) for elapsed in range(0, 4000, 50)]
    assert all(0.4 <= step <= 15 for step in steps)
    assert steps[-1] == 15


def test_a_long_job_is_followed_while_it_is_within_its_usual_time() -> None:
    assert first_poll_s(120) == next_poll_s(120, 60, True, 0.5) == 3
    assert first_poll_s(1800) == 15


def test_a_look_costs_a_short_job_at_most_two_fifths_of_its_own_duration() -> None:
    for duration in (0.5, 1.0, 2.0, 5.0, 10.0, 30.0):
        at = first_poll_s(1)
        while at < duration:
            at += next_poll_s(1, at, True, 0.999)
        assert at - duration <= max(0.6, duration * 0.4)


def test_a_process_that_comes_late_looks_less_often() -> None:
    steps = [next_poll_s(1, 6, True, 0.5, late_s=late_s) for late_s in (0.0, 0.05, 0.1, 30.0)]
    assert steps == [2, 2, 3, 3]
    assert next_poll_s(120, 60, True, 0.5, late_s=1.0) == 3, "what is followed stays followed"


def test_chance_spreads_jobs_that_were_submitted_together() -> None:
    assert next_poll_s(1, 8, True, 0.0) < next_poll_s(1, 8, True, 0.99)


@pytest.mark.parametrize(
    ("line", "share"),
    [
        (" 34%|███▍      | 340/1000 [00:03<00:06]", 0.34),
        ("steps: 340/1000", 0.34),
        ("step 28/28", 1.0),
        ("loading 2026/11/21", None),
        ("step 30/28", None),
        ("0/0", 0.0),
        ("nothing to see", None),
    ],
)
def test_progress_is_read_from_log_lines(line: str, share: float | None) -> None:
    assert progress_in_logs(("older 1/100", line) if share is not None else (line,)) == share


def test_the_newest_line_with_a_share_counts() -> None:
    assert progress_in_logs(("1/10", "5/10", "saving")) == 0.5


def test_progress_says_whether_it_is_an_estimate() -> None:
    queued = observe(Queued(3), Observation(), 0.5, 7.0)
    assert (queued.running, queued.queue_position, queued.progress) == (False, 3, None)
    guessed = observe(Running(()), queued, 0.5, 8.0)
    assert (guessed.running, guessed.progress, guessed.progress_estimated) == (True, 0.5, True)
    assert guessed.queued_at == 7.0
    said = observe(Running(("6/10",)), guessed, 0.55, 9.0)
    assert (said.progress, said.progress_estimated) == (0.6, False)
    assert observe(Running(()), said, 0.1, 10.0).progress == 0.6, "an estimate never goes back"


def test_a_downloads_bar_does_not_hide_the_trainings() -> None:
    fetched = observe(Running(("Fetching 13 files: 100%|████| 13/13",)), Observation(), 0.1, 7.0)
    assert fetched.progress == 1.0
    assert (
        observe(Running(("Fetching 13 files: 100%|████| 13/13", "steps 10/1000")), fetched, 0.2, 8.0).progress == 0.01
    )


def test_an_estimate_stays_below_one() -> None:
    assert estimated_progress(1, 1000) == 0.95
