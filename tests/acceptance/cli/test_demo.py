"""`kilnhand demo --once`, as `make demo ONCE=1` runs it, and `kilnhand demo --all`."""

import re
from collections.abc import Callable

from PIL import Image

from tests.acceptance.cli.conftest import RunningCommand
from tests.conftest import wait_until
from worker.cli.demo.calls import CALLS


def test_the_demo_makes_every_kind_of_file_and_leaves_no_process(running: Callable[..., RunningCommand]) -> None:
    demo = running("demo", "--once")
    wait_until(demo.ended, "the demo ends", every_s=0.2)
    output = demo.text()
    assert demo.process.returncode == 0, output
    urls = re.findall(r"^ *(http://127\.0\.0\.1:\d+/files/\S+)$", output, re.MULTILINE)
    kinds = sorted(url.partition("?")[0].rpartition(".")[2] for url in urls)
    assert kinds == ["jpg"] * 8 + ["json", "mp4", "png", "png", "safetensors"]
    assert "All 9 jobs have succeeded; 13 files were fetched and are whole." in output
    assert "no key and spends no money" in output
    assert "Flower   http://127.0.0.1:" in output
    assert len(demo.started) >= 5, "redis, twin, worker, gateway and Flower"
    assert "These links no longer work" in output.partition("All 9 jobs")[2]
    assert demo.left() == []


def test_every_task_runs_on_the_twin(running: Callable[..., RunningCommand]) -> None:
    demo = running("demo", "--all")
    wait_until(demo.ended, "the demo ends", every_s=0.2)
    output = demo.text()
    assert demo.process.returncode == 0, output
    rows = dict(re.findall(r"^([a-z]+\.[a-z_]+) +(\S+ +\S+ \S+ +[\d.]+ +\d+ +\S.*)$", output, re.MULTILINE))
    assert set(rows) == set(CALLS)
    assert rows["generation.text_to_image"].split()[:3] == ["flux-schnell", "fal", "fal-ai/flux/schnell"]
    with Image.open(demo.folder / ".kilnhand/contact-sheet.png") as sheet:
        assert sheet.width > 1000
    assert demo.left() == []
