"""The good calls that the demo and the tests share: one for each task, and each is taken as it stands."""

from pathlib import Path

import httpx
import pytest
from PIL import Image

from worker.cli.demo import calls, sheet
from worker.cli.demo.every_task import _row
from worker.cli.demo.samples import draw_samples
from worker.cli.job_arguments import all_tasks
from worker.cli.job_snapshot import JobSnapshot
from worker.cli.screen.results import files_in, values_in

URLS = {name: f"https://example.com/{name[1:]}" for name in (*draw_samples(), *calls.MADE_BY)}


def test_every_task_has_a_good_call_in_worker_cli_demo_calls() -> None:
    assert calls.CALLS.keys() == all_tasks().keys()


@pytest.mark.parametrize("task", calls.CALLS)
def test_a_good_call_is_taken_as_it_stands(task: str) -> None:
    given = calls.call_of(task, URLS)
    assert [*calls.samples_of(given)] == [], "every sample is drawn, or made by a task"
    all_tasks()[task].judge((), given, "nothing")


@pytest.mark.parametrize("task", calls.CALLS)
def test_a_call_with_a_made_file_takes_it_from_the_task_before(task: str) -> None:
    made = {*calls.samples_of(calls.CALLS[task])} & calls.MADE_BY.keys()
    fields = {field for field, value in calls.CALLS[task].items() if value in made} if made else set()
    assert len(made) <= 1 and fields <= all_tasks()[task].asks.follows.keys()


def test_a_row_says_what_a_job_was_and_a_failed_one_has_its_state_alone() -> None:
    result = {
        "model": "flux-dev", "provider": "fal", "endpoint": "fal-ai/flux/dev", "timings": {"total_s": 1.25},
        "images": [{"url": "u"}, {"url": "v"}], "total_cost": {"usd": 0.05, "lower_usd": 0.05, "upper_usd": 0.05},
    }  # fmt: skip
    row = _row("generation.text_to_image", JobSnapshot("SUCCESS", result=result))
    assert row == ("generation.text_to_image", "flux-dev", "fal fal-ai/flux/dev", "1.2", "2", "$0.0500")
    assert [str(cell) for cell in _row("a.b", JobSnapshot("FAILURE"))] == ["a.b", "FAILURE", "", "", "", ""]


def test_the_sheet_has_pictures_and_poster_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the files are fetched over HTTP, which the acceptance test of the demo covers
    answer = httpx.Response(200, content=draw_samples()[calls.PHOTO], request=httpx.Request("GET", "http://x"))
    monkeypatch.setattr(httpx.Client, "get", lambda client, url: answer)
    files = [
        {"url": "a", "content_type": "image/png"},
        {"url": "b", "content_type": "video/mp4", "poster_url": "c", "duration_s": 4.0},
        {"url": "d", "content_type": "application/json"},
    ]
    assert sheet.write_sheet(tmp_path / "folder/sheet.png", [("a.b", {"files": files})]) == 2
    with Image.open(tmp_path / "folder/sheet.png") as image:
        assert image.size == (sheet.COLUMNS * (sheet.SIDE + sheet.GAP) + sheet.GAP, 274)


def test_a_file_with_two_names_counts_once_and_a_url_in_an_answer_is_none() -> None:
    result = {"answer": {"url": "x"}, "images": [{"url": "u"}], "files": [{"url": "m"}, {"url": "u"}]}
    assert [name for name, _ in files_in(result)] == ["images.0", "files.0"]
    assert values_in(result) == {"answer": {"url": "x"}}
