"""`make setup`: which Python it takes, what it says, and a .venv that is not whole."""

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from tests.conftest import wait_until
from tests.integration.install.commands import (
    installed,
    machine,
    python_script,
    python_with_pip,
    run_setup,
    search_path,
)
from tests.integration.install.conftest import Filled
from tests.integration.install.index import serve
from tests.integration.install.packages import LOCKED


def leave_out(project: Path, name: str) -> None:
    lock = project / "requirements-dev.lock"
    lock.write_text(re.sub(rf"{name}==.*\n.*\n", "", lock.read_text(encoding="utf-8")), encoding="utf-8")


def test_it_takes_the_locked_releases_beside_newer_ones_and_says_each_step(filled: Filled) -> None:
    assert [line.split()[0] for line in filled.first.stdout.splitlines()] == [
        "made",
        "installing",
        "checking",
        "linking",
    ]
    assert (filled.first.returncode, filled.first.stderr) == (0, "")
    assert installed(filled.project / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}


def test_a_venv_that_is_whole_is_left_as_it_is(filled: Filled) -> None:
    again = run_setup(filled.project, filled.env)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_failure_shows_what_matters_and_keeps_its_exit_code(
    project: Path, packages: Path, env: dict[str, str]
) -> None:
    (packages / "transport-2.0-py3-none-any.whl").unlink()

    ended = run_setup(project, env | {"PIP_FIND_LINKS": "/nowhere/wheels"})

    assert ended.returncode == 1
    assert "ERROR: No matching distribution found for transport==2.0" in ended.stderr
    assert "WARNING" not in ended.stderr
    assert ended.stderr.splitlines()[-1].endswith(".venv/install.log")
    assert "/nowhere/wheels" in (project / ".venv/install.log").read_text(encoding="utf-8")


def test_a_lock_that_lacks_a_requirement_is_no_success(project: Path, env: dict[str, str]) -> None:
    leave_out(project, "google-auth")

    ended = run_setup(project, env)

    assert ended.returncode == 1
    assert "client 1.0 requires google-auth, which is not installed" in ended.stderr
    assert "linking" not in ended.stdout


def test_a_python_that_no_pip_serves_is_passed_over(project: Path, index: str, tmp_path: Path) -> None:
    scripts = {
        "python3.13": python_script(None, made="touch .venv/too-new"),
        "python3.12": python_script(None, made="touch .venv/too-new"),
        "python3": f"""case "$*" in "-m pip "*) [ ! -e .venv/too-new ] || exit 1 ;; esac
{python_script(python_with_pip())}""",
    }

    ended = run_setup(project, machine(index, PATH=search_path(tmp_path / "bin", scripts)))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (project / ".venv/too-new").exists()


def test_a_pip_that_is_nowhere_is_asked_for(project: Path, index: str, tmp_path: Path) -> None:
    scripts = {"python3.12": python_script(None), "python3": python_script(None)}

    ended = run_setup(project, machine(index, PATH=search_path(tmp_path / "bin", scripts)))

    assert ended.returncode == 1
    assert ended.stderr.startswith("no pip for python3.12 python3:") and "apt install" in ended.stderr


def test_a_pip_that_does_not_run_says_why(project: Path, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("no section\n", encoding="utf-8")

    ended = run_setup(project, env | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})

    assert ended.returncode == 1
    assert "Configuration file" in ended.stderr and str(tmp_path / "pip.conf") in ended.stderr


def test_a_python_that_is_nowhere_is_asked_for(project: Path, index: str, tmp_path: Path) -> None:
    ended = run_setup(project, machine(index, PATH=search_path(tmp_path / "bin", {})))

    assert ended.returncode == 1
    assert ended.stderr.startswith("no Python of 3.11 to 3.14") and "apt install" in ended.stderr


def test_what_was_interrupted_is_made_anew(filled: Filled) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def wait(path: str) -> None:
        if path.endswith(".whl"):
            asked.set()
            go_on.wait(60)

    shutil.rmtree(filled.project / ".venv")
    with serve(filled.packages, before=wait) as slow:
        process = subprocess.Popen(
            [filled.project / ".ci/venv"],
            env=filled.env | {"PIP_INDEX_URL": slow, "PIP_EXTRA_INDEX_URL": slow},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(asked.is_set, "pip asks for a wheel")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) != 0
        go_on.set()

    ended = run_setup(filled.project, filled.env)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert installed(filled.project / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}


def test_a_venv_whose_python_has_gone_is_made_anew(filled: Filled) -> None:
    (filled.project / ".venv/bin/python").unlink()
    (filled.project / ".venv/bin/python").symlink_to("/nowhere/python")

    ended = run_setup(filled.project, filled.env)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert installed(filled.project / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}


def test_another_lock_leaves_nothing_of_the_one_before(filled: Filled) -> None:
    assert "transport" in installed(filled.project / ".venv/bin/python")
    leave_out(filled.project, "transport")

    run_setup(filled.project, filled.env)

    found = installed(filled.project / ".venv/bin/python")
    assert "client" in found and "transport" not in found


def test_a_venv_is_made_anew_when_it_was_moved(filled: Filled) -> None:
    moved = filled.project.rename(filled.project.with_name("moved"))
    try:
        ended = run_setup(moved, filled.env | {"PIP_NO_INDEX": "1"})  # it need not be filled to the end
    finally:
        moved.rename(filled.project)

    assert "made .venv" in ended.stdout
