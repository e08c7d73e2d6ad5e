import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from worker.cli.follow import follow
from worker.cli.job_snapshot import FollowedJob, JobSnapshot, error_fields
from worker.cli.screen.progress import NOT_TAKEN, ChangeLines, LiveTable, NoDisplay

PICTURE, VIDEO = FollowedJob("picture", "p"), FollowedJob("video", "v", after="p")
RESULT = {"model": "flux-dev", "provider": "fal", "timings": {"total_s": 2.5}}


def readings(*snapshots: JobSnapshot) -> Iterator[JobSnapshot]:
    """The snapshots in order; the last one is repeated."""
    yield from snapshots
    while True:
        yield snapshots[-1]


def lines(console: Console) -> list[str]:
    return console.export_text().splitlines()


def test_jobs_are_polled_until_the_last_one_is_final() -> None:
    by_job = {
        "p": readings(JobSnapshot(), JobSnapshot("SUCCESS", result=RESULT)),
        "v": readings(JobSnapshot(), JobSnapshot(), JobSnapshot("REVOKED")),
    }
    pauses: list[float] = []
    last = follow([PICTURE, VIDEO], lambda job_id: next(by_job[job_id]), NoDisplay(), pauses.append)
    assert [last["p"].state, last["v"].state, len(pauses)] == ["SUCCESS", "REVOKED", 2]


def test_a_timeout_returns_the_last_snapshot() -> None:
    last = follow([PICTURE], lambda _: JobSnapshot("QUEUED"), NoDisplay(), timeout_s=0)
    assert last["p"].state == "QUEUED"


def test_a_line_is_printed_only_for_a_change() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    display = ChangeLines(console)
    half = {"progress": 0.5, "progress_estimated": True, "logs": ["step 14/28"]}
    queued = JobSnapshot("QUEUED", {"queue_position": 3, "provider": "fal"})
    for elapsed, snapshot in enumerate(
        [JobSnapshot(), queued, queued, JobSnapshot("IN_PROGRESS", half), JobSnapshot("IN_PROGRESS", half)]
    ):
        display.show([(PICTURE, snapshot)], elapsed)
    display.show([(PICTURE, JobSnapshot("SUCCESS", result=RESULT))], 5)
    assert lines(console) == [
        "[  0.0 s] picture: sent",
        "[  1.0 s] picture: QUEUED 3 ahead at fal",
        "[  3.0 s] picture: IN_PROGRESS ~50% step 14/28",
        "[  5.0 s] picture: SUCCESS 2.5 s flux-dev by fal",
    ]


def test_each_failed_attempt_is_a_line() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    display = ChangeLines(console)
    for attempt in (1, 1, 2):
        failed = {"delayed_by": f"attempt {attempt} failed: fal: HTTP 429", "model": "flux-dev"}
        display.show([(PICTURE, JobSnapshot("QUEUED", failed))], attempt)
    assert lines(console) == [
        "[  1.0 s] picture: QUEUED attempt 1 failed: fal: HTTP 429",
        "[  2.0 s] picture: QUEUED attempt 2 failed: fal: HTTP 429",
    ]


@pytest.mark.parametrize(("job", "hint"), [(PICTURE, True), (VIDEO, False)])
def test_a_job_that_no_worker_takes_gets_a_hint_unless_it_waits_for_another_job(job: FollowedJob, hint: bool) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    ChangeLines(console).show([(PICTURE, JobSnapshot("QUEUED")), (job, JobSnapshot())], 6)
    assert (NOT_TAKEN in console.export_text()) is hint


def test_a_live_table_shows_state_progress_and_the_newest_log_line() -> None:
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True)
    display = LiveTable(console)
    half = {"progress": 0.5, "progress_estimated": False, "logs": ["one", "two"]}
    display.show([(PICTURE, JobSnapshot("IN_PROGRESS", half)), (VIDEO, JobSnapshot())], 6)
    display.close()
    shown = console.export_text()
    assert "IN_PROGRESS" in shown and "50%" in shown and "two" in shown and "waits" in shown


def test_a_failure_shows_only_its_code() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    failed = JobSnapshot("FAILURE", error={"code": "request_refused", "message": "fal: not this one"})
    ChangeLines(console).show([(PICTURE, failed)], 1)
    assert lines(console) == ["[  1.0 s] picture: FAILURE request_refused"]


def test_an_error_has_a_code_and_a_message() -> None:
    assert error_fields("FAILURE", ValueError("too bad")) == {"code": "ValueError", "message": "too bad"}
    assert error_fields("REVOKED", None)["code"] == "revoked"
