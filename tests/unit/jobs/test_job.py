"""The table of moves, and the row as JSON."""

import itertools
from dataclasses import replace

import pytest

from worker.jobs.job import (
    FINAL,
    MOVES,
    Artefact,
    Attempt,
    Cost,
    ErrorRecord,
    Job,
    Observation,
    Options,
    Piece,
    Stage,
    Step,
    Ticket,
    dump_job,
    load_job,
)  # fmt: skip

PLAIN = Job("a", "generation.text_to_image", "generation", {"prompt": "x"}, Step("m", {}, ()), Options(), 1.0)


def test_a_job_moves_only_along_the_table(subtests: pytest.Subtests) -> None:
    for start, end in itertools.product(Stage, Stage):
        with subtests.test(start=start, end=end):
            job = replace(PLAIN, stage=start)
            if end in MOVES[start]:
                assert job.move(end).stage == end
            else:
                with pytest.raises(ValueError, match=f"no move from {start} to {end}"):
                    job.move(end)


def test_the_table_knows_every_stage_and_nothing_leaves_a_final_one() -> None:
    assert set(MOVES) == set(Stage)
    assert all(not MOVES[stage] for stage in FINAL)
    assert {stage for stage, to in MOVES.items() if FINAL & to} == {Stage.CLOSING}


def test_a_submission_is_never_entered_but_by_an_accepted_job() -> None:
    assert [stage for stage, to in MOVES.items() if Stage.SUBMITTING in to] == [Stage.ACCEPTED]


def test_a_row_survives_its_own_json() -> None:
    ticket = Ticket("r", {"status": "https://queue.fal.run/x/requests/r/status"})
    trouble = ErrorRecord("rate_limited", "slow down", "fal", 429, "x")
    attempt = Attempt(1, "fal", "fal-ai/flux/dev", 2.0, ticket, 2.5, 9.0, 6.0, Cost(0.1, 2, "step", False), trouble)
    piece = Piece("images", "image", "images.*", 2, 1024, 768)
    job = Job(
        "a", "t", "q", {"prompt": "é\u2028"}, Step("m", {"seed": 2**62}, (piece,), {"x": [1, {"y": None}]}),
        Options("acme", {"k": "v"}, 5.0, "high", "key"), 1.5, stage=Stage.STORED, attempts=(attempt,),
        observed=Observation(True, None, 4.0, 0.5, False, ("line",)), answer={"images": []},
        artefacts=(Artefact("images", "jobs/a/images-0.png", "image", "image/png", 3, "00", 10, 20),),
        message={"chain": [{"task": "x"}]},
    )  # fmt: skip
    assert load_job(dump_job(job)) == job


def test_an_empty_row_stays_small() -> None:
    assert len(dump_job(PLAIN)) < 300
