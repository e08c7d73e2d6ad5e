"""A row that another version wrote is read, and what we write it can read: names in a stored row never change."""

import json

from worker.jobs.job import Attempt, ErrorRecord, Job, Observation, Options, Step, dump_job, load_job

ERROR = ErrorRecord("rate_limit", "too many")


def job() -> Job:
    return Job(
        id="a",
        task="generation.text_to_image",
        queue="generation",
        request={"prompt": "a fox"},
        step=Step("flux-schnell", {"prompt": "a fox"}, ()),
        options=Options(),
        created_at=1.0,
        attempts=(Attempt(1, "fal", "fal-ai/flux/schnell", 1.0, error=ERROR),),
        tries=2,
        observed=Observation(running=True),
        bad_answer={"answer": "x", "complaint": ["it is not JSON"]},
        error=ERROR,
        published_at=3.0,
    )


def test_the_names_in_a_stored_row_are_those_of_the_first_version() -> None:
    stored = json.loads(dump_job(job()))

    assert {name: stored[name] for name in ("looks", "sight", "bad", "trouble", "told_at")} == {
        "looks": 2,
        "sight": {"running": True},
        "bad": {"answer": "x", "complaint": ["it is not JSON"]},
        "trouble": {"code": "rate_limit", "message": "too many"},
        "told_at": 3.0,
    }
    assert stored["attempts"][0]["trouble"] == {"code": "rate_limit", "message": "too many"}


def test_a_stored_row_is_read_as_it_was() -> None:
    assert load_job(dump_job(job())) == job()
