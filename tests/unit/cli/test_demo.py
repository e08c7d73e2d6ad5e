import io

import pytest
from rich.console import Console

from worker.cli.demo import run as demo
from worker.cli.demo.jobs import DemoJob
from worker.cli.job_snapshot import FollowedJob, JobSnapshot
from worker.cli.screen.results import show_files

JOBS = [
    DemoJob(FollowedJob("picture", "p"), 64, 64),
    DemoJob(FollowedJob("video", "v")),
    DemoJob(FollowedJob("training", "t")),
]


def test_the_demo_reports_every_job_without_the_requested_result(monkeypatch: pytest.MonkeyPatch) -> None:
    # the real function fetches over HTTP; the acceptance test of the demo covers it
    monkeypatch.setattr(demo, "file_problems", lambda result, width, height: [f"not {width}×{height}"])
    snapshots = {
        "p": JobSnapshot("SUCCESS", result={"images": []}),
        "v": JobSnapshot("FAILURE", error={"code": "x", "message": "it broke"}),
        "t": JobSnapshot("IN_PROGRESS"),
    }
    assert demo._problems(JOBS, snapshots) == [
        "picture: not 64×64",
        "video failed: it broke",
        "training was not finished after 180 s; see t in Flower",
    ]


def test_long_urls_are_not_wrapped() -> None:
    url = "http://127.0.0.1:8080/files/" + "x" * 300
    file = {"url": url, "content_type": "image/png", "bytes": 1_500_000, "width": 64, "height": 32}
    console = Console(record=True, width=40, file=io.StringIO())
    show_files(console, {"images": [file], "seed": 7, "cost": {"usd": 1}})
    assert console.export_text().splitlines() == ["images.0  64×32 image/png, 1.5 MB", url]
