"""Whose a file is, by its key, and which references a job of a tenant may use."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.edge.owners import owner_problems
from worker.errors import InvalidRequestError
from worker.jobs.file_keys import (
    checked,
    in_tenant,
    is_of_tenant,
    job_folder,
    key_of,
    new_folder,
    outcome_key,
    owner_of,
    tenant_folder,
)
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Attempt, Job, Options, Step

JOB = Job("4e2a-b1", "t", "q", {}, Step("m", {}, ()), Options(), 1000.0, folder="5b0f")
ACME, OTHER, NONE = "jobs/t-acme/5b0f/images-0.png", "jobs/t-other/5b0f/images-0.png", "jobs/5b0f/images-0.png"
OWNERS = FileOwners("https://files.example")


def _key(job: Job) -> str:
    return key_of(job_folder(job), "images", 0, "png")


def test_a_key_is_under_its_tenant_with_a_random_part_and_without_the_jobs_id() -> None:
    assert _key(JOB) == NONE
    assert _key(replace(JOB, options=Options(tenant="acme"))) == ACME
    assert JOB.id not in _key(JOB)


def test_the_days_of_a_file_come_before_its_tenant() -> None:
    kept = replace(JOB, folder=new_folder(7, "5b0f"))
    assert _key(kept) == "jobs/d7/5b0f/images-0.png"
    assert _key(replace(kept, options=Options(tenant="acme"))) == "jobs/d7/t-acme/5b0f/images-0.png"
    assert new_folder(None, "5b0f") == "5b0f"


def test_a_second_fetch_replaces_the_first() -> None:
    assert _key(JOB) == _key(replace(JOB, attempts=(Attempt(1, "fal", "e", 0.0),)))


def test_an_id_that_is_used_again_never_has_the_keys_of_the_job_before() -> None:
    """Also where a version before has dropped the random part from the row."""
    again = replace(JOB, created_at=1001.0)
    assert _key(replace(JOB, folder="")) != _key(replace(again, folder=""))
    attempts = (Attempt(1, "fal", "e", 0.0),)
    assert outcome_key(replace(JOB, attempts=attempts)) != outcome_key(replace(again, attempts=attempts))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_any_tenant_has_a_safe_folder_of_its_own(one: str, other: str) -> None:
    first = key_of(in_tenant(one, "5b0f"), "images", 0, "png")
    assert checked(first).count("/") == 3
    assert is_of_tenant(first, one)
    assert not is_of_tenant(first, None)
    assert is_of_tenant(first, other) == (one == other)


def test_a_tenant_cannot_choose_the_hash_of_anothers_name() -> None:
    hashed = tenant_folder("any name with spaces").removeprefix("h-")
    assert tenant_folder(hashed) != tenant_folder("any name with spaces")
    assert tenant_folder(f"h-{hashed}") != tenant_folder("any name with spaces")


def test_any_job_without_a_tenant_has_a_folder_of_no_tenant() -> None:
    assert owner_of(_key(replace(JOB, id="../../x"))) is None


@pytest.mark.parametrize(
    ("ref", "tenant", "may"),
    [
        ("jobs/d7/t-acme/5b0f/images-0.png", "acme", True),
        ("jobs/d7/t-acme/5b0f/images-0.png", "other", False),
        ("jobs/d7/t-acme/5b0f/images-0.png", None, False),
        ("jobs/d7/5b0f/images-0.png", None, True),
        ("jobs/d7/5b0f/images-0.png", "d7", False),
        (ACME, "acme", True),
        (ACME, "other", False),
        (ACME, None, False),
        (NONE, None, True),
        (NONE, "acme", False),
        ("jobs/t-acme/../t-other/5b0f/x.png", "other", False),
        (f"https://files.example/files/{ACME}?expires=1&signature=x", "acme", True),
        (f"https://files.example/files/{ACME}?expires=1&signature=x", "other", False),
        (f"https://files.example:443/files/{ACME.replace('t-', '%74-')}", "other", False),
        (f"HTTPS://FILES.example/files/{ACME}", None, False),
        (f"https://files.example/files/{NONE}?expires=1&signature=x", "acme", True),
        (f"https://elsewhere.example/files/{ACME}", "other", True),
        ("https://[broken", "other", True),
        ("data:image/png;base64,AA==", "other", True),
    ],
)
def test_a_job_uses_files_of_its_own_tenant_only(ref: str, tenant: str | None, may: bool) -> None:
    assert (OWNERS.problem(ref, tenant) is None) == may


def test_every_file_of_a_step_is_judged() -> None:
    arguments: Any = {"image": NONE, "loras": [{"path": OTHER}], "prompt": OTHER}
    step = Step("m", arguments, (), files={"image": "image", "loras.0.path": "weights"})
    assert [field for field, _ in owner_problems(step, "acme")] == ["image", "loras.0.path"]


def test_delay_refuses_the_key_of_another_tenant() -> None:
    from tasks.language import analyse

    fields = {"images": [ACME], "questions": ["Which is red?"]}
    with pytest.raises(InvalidRequestError, match=r"images\.0: this key is not of the job's tenant"):
        analyse._read({**fields, "tenant": "other"})
    analyse._read({**fields, "tenant": "acme"})
