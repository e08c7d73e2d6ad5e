import contextlib
import io
import os
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from worker.cli.errors import CliError
from worker.cli.processes import stack as stacks
from worker.cli.processes.child import Child, ChildFailedError
from worker.cli.processes.ports import free_port
from worker.cli.processes.specs import ProcessSpec
from worker.cli.processes.state_folder import lock_folder, read_or_create_secret, use_running_stack, write_environment
from worker.cli.processes.watchdog import remaining_groups
from worker.cli.screen.log_lines import LogLines


def child(tmp_path: Path, code: str) -> Child:
    return Child("potter", [sys.executable, "-c", code], os.environ, tmp_path / "potter.log", lambda _: False)


def test_a_child_that_dies_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    one = child(tmp_path, "print('the kiln is cold'); raise SystemExit(3)")
    one.start()
    with pytest.raises(ChildFailedError, match=r"(?s)potter ended with status 3.*the kiln is cold"):
        one.wait_ready(20)


def test_a_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    with pytest.raises(ChildFailedError, match=r"potter was not ready after 0.2 s"):
        one.wait_ready(0.2)
    one.kill()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    one = child(tmp_path, code)
    one._is_ready = lambda _: "deaf" in one.log_text()
    one.start()
    one.wait_ready(20)
    one.stop(grace_s=0.2)
    assert one.returncode == -9


def test_the_watchdog_has_the_newest_group_first_and_none_that_has_ended() -> None:
    assert remaining_groups(["+11\n", "+12\n", "+13\n", "-12\n"]) == [13, 11]


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        assert free_port(taken) not in {0, taken}
    assert free_port(taken) == taken
    assert free_port(taken) not in {0, taken}, "it has been given to somebody who may not have bound it yet"


def test_a_port_is_given_to_one_process_only() -> None:
    code = "from worker.cli.processes.ports import free_port\nprint(*(free_port() for _ in range(200)), flush=True); input()"
    with contextlib.ExitStack() as both:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        asking = [both.enter_context(subprocess.Popen([sys.executable, "-c", code], **pipes)) for _ in range(2)]
        given = [int(port) for one in asking for port in one.stdout.readline().split()]
        for one in asking:
            one.communicate("end\n")
    assert len(given) == len(set(given)) == 400
    assert max(given) < 32_768, "Linux does not use these for outgoing connections"


def test_only_new_complete_lines_of_a_log_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("old\n")
    console = Console(record=True, file=io.StringIO(), width=80)
    lines = LogLines(console, {"worker": log})
    log.write_text("old\nnew\nhal")
    lines.show_new()
    log.write_text("old\nnew\nhalf\n")
    lines.show_new()
    assert console.export_text().splitlines() == ["worker │ new", "worker │ half"]


def test_only_the_owner_can_read_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "made" / "secret"
    assert read_or_create_secret(path, "first") == read_or_create_secret(path, "second") == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_stack_is_found_while_its_folder_is_locked_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILNHAND_STORE_URL", "mine")
    monkeypatch.delenv("KILNHAND_REDIS_URL", raising=False)
    with lock_folder(tmp_path):
        write_environment(tmp_path, {"KILNHAND_REDIS_URL": "redis://x", "KILNHAND_STORE_URL": "theirs", "PATH": "/"})
        assert use_running_stack(tmp_path) == ["KILNHAND_REDIS_URL"]
        assert (os.environ["KILNHAND_REDIS_URL"], os.environ["KILNHAND_STORE_URL"]) == ("redis://x", "mine")
    monkeypatch.delenv("KILNHAND_REDIS_URL")
    assert use_running_stack(tmp_path) == []


def test_the_lock_says_which_process_holds_it(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        held = rf"another `kilnhand up` runs in this folder \(pid {os.getpid()}\)"
        with pytest.raises(CliError, match=held), lock_folder(tmp_path):
            pass
    with lock_folder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n", "the id of the one before is gone"


def test_flower_moves_when_another_program_has_taken_its_port_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = "import socket, sys\nserver = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    serve += "while True: server.accept()[0].sendall(b'flower')"

    def is_ready(port: int) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.settimeout(0.5)
            return connection.recv(6) == b"flower"
        return False

    def spec(port: int, _: str) -> ProcessSpec:
        return ProcessSpec([sys.executable, "-c", serve, str(port)], lambda _: is_ready(port))

    monkeypatch.setattr(stacks, "flower_spec", spec)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        addresses = replace(stacks.free_addresses(), flower_port=taken)
        stack = stacks.Stack(tmp_path, addresses, os.environ, cwd=tmp_path)
        try:
            stack.start("flower")
            assert stack["flower"].is_alive and is_ready(stack.addresses.flower_port)
            assert stack.flower_url != addresses.flower_url
        finally:
            stack.close()
