"""`make setup` on a later day: every package has a newer release, and the locked one is installed."""

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.install.commands import (
    ROOT,
    build_stage,
    installed,
    machine,
    python_script,
    run_in_image,
    run_setup,
    search_path,
)
from tests.integration.install.index import serve
from tests.integration.install.packages import LOCKED, write_packages


@pytest.mark.timeout(3600)
def test_setup_takes_the_lock_when_everything_has_a_newer_release(
    newer: dict[str, str], old_pip: str, tmp_path: Path
) -> None:
    for name in ("requirements-dev.lock", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("config", "tasks", "worker", "twin"):
        (tmp_path / name).mkdir()
    path = search_path(tmp_path / "bin", {"python3": python_script(old_pip)})

    ended = run_setup(tmp_path, newer | {"PATH": path})

    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = installed(tmp_path / ".venv/bin/python")
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))
    assert found.pop("kilnhand") and len(found) > 100
    assert found.items() <= locked.items()


@pytest.mark.parametrize("pip", ["old_pip", "new_pip"])
def test_old_and_new_pip_take_the_lock(pip: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    python = request.getfixturevalue(pip)
    lock = write_packages(tmp_path / "packages")
    (tmp_path / "src").mkdir()
    for name in ("requirements-dev.lock", "src/requirements.lock", "src/requirements-build.lock"):
        (tmp_path / name).write_text(lock, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n', encoding="utf-8"
    )

    with serve(tmp_path / "packages") as url:
        env = machine(url, PATH=search_path(tmp_path / "bin", {"python3": python_script(python)}))
        ended = run_setup(tmp_path, env)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        for word, rest in build_stage():
            if word == "RUN" and ("-m venv" in rest or "-r requirements" in rest):
                run_in_image(rest, tmp_path, env, python)

    assert installed(tmp_path / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}
    for name in ("kilnhand", "build"):
        assert installed(tmp_path / "opt" / name / "bin/python") == LOCKED
