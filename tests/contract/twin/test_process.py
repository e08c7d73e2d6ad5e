"""The twin as a process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def process() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-m", "twin", "--port", "0", "--pace", "30", "--public-url", "http://twin.example"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout and child.stderr
    line = child.stdout.readline()
    assert line.startswith("twin listening on http://127.0.0.1:")
    yield child, line.split()[-1]
    if child.poll() is None:
        child.kill()
    child.wait(60)
    child.stdout.close()
    child.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_on_a_free_port_and_leaves_quickly_and_quietly(
    process: tuple["subprocess.Popen[str]", str], number: signal.Signals
) -> None:
    child, url = process
    with httpx.Client(base_url=url, headers={"Authorization": "Key a"}, verify=False) as http:
        ticket = http.post("/queue/fal-ai/fast-sdxl", json={"prompt": "x"}).json()
        assert ticket["status_url"].startswith("http://twin.example/queue/fal-ai/fast-sdxl/requests/")
        path = ticket["status_url"].removeprefix("http://twin.example")
        with http.stream("GET", f"{path}/stream") as stream:
            next(stream.iter_lines())
            asked_at = time.monotonic()
            child.send_signal(number)
            assert child.wait(60) == 0
    assert time.monotonic() - asked_at < 30
    assert child.stderr and child.stdout
    assert (child.stdout.read(), child.stderr.read()) == ("", "")


def test_a_taken_port_is_reported_in_one_line_and_leaves_nothing(
    process: tuple["subprocess.Popen[str]", str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "twin", "--port", process[1].rpartition(":")[2]]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    port = command[-1]
    assert done.returncode == 1 and done.stderr.startswith(f"twin cannot listen on 127.0.0.1 port {port}")
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []
