import io

import pytest
from rich.console import Console

from worker.cli.demo import run as demo
from worker.cli.demo.jobs import Asked
from worker.cli.screen.results import show_files
from worker.cli.screen.watch import Seen, Watched

JOBS = [Asked(Watched("picture", "p"), 64, 64), Asked(Watched("video", "v")), Asked(Watched("training", "t"))]


def test_a_demo_tells_of_every_job_that_did_not_bring_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # the real one fetches over HTTP; its own test is the acceptance test of the demo
    monkeypatch.setattr(demo, "problems_of", lambda result, width, height: [f"not {width}×{height}"])
    seen = {
        "p": Seen("SUCCESS", result={"images": []}),
        "v": Seen("FAILURE", error={"code": "x", "message": "it broke"}),
        "t": Seen("IN_PROGRESS"),
    }
    assert demo._problems(JOBS, seen) == [
        "picture: not 64×64",
        "video failed: it broke",
        "training was not over after 180 s; see t in Flower",
    ]


def test_results_are_shown_with_whole_urls() -> None:
    url = "http://127.0.0.1:8080/files/" + "x" * 300
    file = {"url": url, "content_type": "image/png", "bytes": 1_500_000, "width": 64, "height": 32}
    console = Console(record=True, width=40, file=io.StringIO())
    show_files(console, {"images": [file], "seed": 7, "cost": {"usd": 1}})
    assert console.export_text().splitlines() == ["images.0  64×32 image/png, 1.5 MB", url]
