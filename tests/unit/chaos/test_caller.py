"""How the callers of a run send chains, groups and chords, and where their older version comes from."""

from pathlib import Path

import pytest
from celery import Celery, Signature

from tests.chaos.caller import canvas
from tests.chaos.source_copy import WrongSourceError, archive_to

APP = Celery(set_as_current=False)


def parts(count: int) -> list[Signature]:
    return [APP.signature("generation.text_to_image", kwargs={"prompt": f"{n}"}) for n in range(count)]


def test_only_the_second_job_of_a_plain_chain_takes_the_result_before_it() -> None:
    assert [task.immutable for task in canvas("chain", parts(2)).tasks] == [False, False]
    assert [task.immutable for task in canvas("next revoked", parts(2)).tasks] == [False, True]


@pytest.mark.parametrize("kind", ["chord", "body revoked"])
def test_the_body_of_a_chord_takes_no_results(kind: str) -> None:
    found = canvas(kind, parts(3))
    assert len(found.tasks) == 2 and found.body.immutable


def test_a_commit_that_the_history_does_not_have_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(WrongSourceError, match="no-such-commit"):
        archive_to("no-such-commit", tmp_path / "old")
