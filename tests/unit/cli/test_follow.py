import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from worker.cli.follow import follow
from worker.cli.job_snapshot import FollowedJob, JobSnapshot, error_fields
from worker.cli.screen.progress import NOT_TAKEN, ChangeLines, LiveTable, NoDisplay

PICTURE, VIDEO = FollowedJob("picture", "p"), FollowedJob("video", "v", after="p")
RESULT = {"model": "flux-dev", "provider": "fal", "timings": {"total_s": 2.5}}


def story(*sights: JobSnapshot) -> Iterator[JobSnapshot]:
    """One look after the other; the last stays."""
    yield from sights
    while True:
        yield sights[-1]


def lines(console: Console) -> list[str]:
    return console.export_text().splitlines()


def test_jobs_are_looked_at_until_the_last_has_ended() -> None:
    told = {
        "p": story(JobSnapshot(), JobSnapshot("SUCCESS", result=RESULT)),
        "v": story(JobSnapshot(), JobSnapshot(), JobSnapshot("REVOKED")),
    }
    pauses: list[float] = []
    seen = follow([PICTURE, VIDEO], lambda job_id: next(told[job_id]), NoDisplay(), pauses.append)
    assert [seen["p"].state, seen["v"].state, len(pauses)] == ["SUCCESS", "REVOKED", 2]


def test_a_timeout_returns_what_was_seen_last() -> None:
    seen = follow([PICTURE], lambda _: JobSnapshot("QUEUED"), NoDisplay(), timeout_s=0)
    assert seen["p"].state == "QUEUED"


def test_lines_are_said_at_changes_only() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    screen = ChangeLines(console)
    half = {"progress": 0.5, "progress_estimated": True, "logs": ["step 14/28"]}
    queued = JobSnapshot("QUEUED", {"queue_position": 3, "provider": "fal"})
    for elapsed, sight in enumerate(
        [JobSnapshot(), queued, queued, JobSnapshot("IN_PROGRESS", half), JobSnapshot("IN_PROGRESS", half)]
    ):
        screen.show([(PICTURE, sight)], elapsed)
    screen.show([(PICTURE, JobSnapshot("SUCCESS", result=RESULT))], 5)
    assert lines(console) == [
        "[  0.0 s] picture: sent",
        "[  1.0 s] picture: QUEUED 3 ahead at fal",
        "[  3.0 s] picture: IN_PROGRESS ~50% step 14/28",
        "[  5.0 s] picture: SUCCESS 2.5 s flux-dev by fal",
    ]


@pytest.mark.parametrize(("job", "hint"), [(PICTURE, True), (VIDEO, False)])
def test_a_job_that_nobody_takes_comes_with_a_hint_unless_it_waits_for_another(job: FollowedJob, hint: bool) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    ChangeLines(console).show([(PICTURE, JobSnapshot("QUEUED")), (job, JobSnapshot())], 6)
    assert (NOT_TAKEN in console.export_text()) is hint


def test_a_live_table_shows_state_progress_and_the_newest_log_line() -> None:
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    screen = LiveTable(console)
    half = {"progress": 0.5, "progress_estimated": False, "logs": ["one", "two"]}
    screen.show([(PICTURE, JobSnapshot("IN_PROGRESS", half)), (VIDEO, JobSnapshot())], 6)
    screen.close()
    shown = console.export_text()
    assert "IN_PROGRESS" in shown and "50%" in shown and "two" in shown and "waits" in shown


def test_a_failure_is_shown_by_its_code_and_its_message_left_to_the_end() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    failed = JobSnapshot("FAILURE", error={"code": "request_refused", "message": "fal: not this one"})
    ChangeLines(console).show([(PICTURE, failed)], 1)
    assert lines(console) == ["[  1.0 s] picture: FAILURE request_refused"]


def test_an_error_is_its_code_and_its_message() -> None:
    assert error_fields("FAILURE", ValueError("too bad")) == {"code": "ValueError", "message": "too bad"}
    assert error_fields("REVOKED", None)["code"] == "revoked"
