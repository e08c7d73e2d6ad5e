"""`kilnhand up --demo --once`, as `make demo ONCE=1` runs it."""

import re
from collections.abc import Callable

from tests.acceptance.cli.conftest import Running
from tests.conftest import wait_until


def test_the_demo_brings_every_kind_of_piece_and_leaves_no_process(running: Callable[..., Running]) -> None:
    demo = running("up", "--demo", "--once")
    wait_until(demo.ended, "the demo ends", timeout_s=90, every_s=0.2)
    said = demo.text()
    assert demo.process.returncode == 0, said
    urls = re.findall(r"^ *(http://127\.0\.0\.1:\d+/files/\S+)$", said, re.MULTILINE)
    kinds = sorted(url.partition("?")[0].rpartition(".")[2] for url in urls)
    assert kinds == ["jpg"] * 8 + ["json", "mp4", "png", "png", "safetensors"]
    assert "All 9 jobs have succeeded; 13 files were fetched and are whole." in said
    assert "no key and spends no money" in said
    assert "Flower   http://127.0.0.1:" in said
    assert len(demo.started) >= 5, "redis, twin, worker, gateway and Flower"
    assert demo.left() == []
