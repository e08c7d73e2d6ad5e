"""What is installed is what the lock names, whatever an index offers beside it and pip is told on this machine."""

import zipfile
from pathlib import Path

import pytest

from tests.integration.install.commands import build_stage, installed, python_with_pip, run_in_image, run_setup
from tests.integration.install.packages import LOCKED

SETTINGS = {
    "constraint": "{folder}/constraints.txt",
    "target": "{folder}/elsewhere",
    "prefix": "{folder}/elsewhere",
    "user": "true",
    "require-hashes": "true",
    "no-binary": ":all:",
    "dry-run": "true",
    "uploaded-prior-to": "2000-01-01",
    "quiet": "3",
    "python": "/nowhere/python",
}


@pytest.mark.parametrize("where", ["file", "variables"])
def test_a_setting_of_pip_cannot_change_what_is_installed(
    project: Path, env: dict[str, str], tmp_path: Path, where: str
) -> None:
    (tmp_path / "constraints.txt").write_text("client==1.0.1\n", encoding="utf-8")
    settings = {name: value.format(folder=tmp_path) for name, value in SETTINGS.items()}
    if where == "file":
        # The index stands there, too: what says where packages are still counts.
        lines = [f"{name} = {value}" for name, value in settings.items()]
        lines += [f"index-url = {env.pop('PIP_INDEX_URL')}", "[install]", "constraint = /nowhere/constraints.txt"]
        (tmp_path / "pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
        env["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
        env["PIP_EXTRA_INDEX_URL"] = "http://127.0.0.1:9/simple"
    else:
        env.update({f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()})

    ended = run_setup(project, env)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert installed(project / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}
    assert not (tmp_path / "elsewhere").exists()


def test_packages_on_the_python_path_take_no_ones_place(
    project: Path, packages: Path, env: dict[str, str], tmp_path: Path
) -> None:
    for name, version in LOCKED.items():
        wheel_of = packages / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel_of) as wheel:
            wheel.extractall(tmp_path / "beside")

    ended = run_setup(project, env | {"PYTHONPATH": str(tmp_path / "beside")})

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert installed(project / ".venv/bin/python") == {**LOCKED, "kilnhand": "0.1"}


@pytest.mark.parametrize("base", [{}, {"PIP_CONSTRAINT": "{folder}/constraints.txt"}], ids=["plain base", "constraint"])
def test_the_image_takes_the_locked_releases_beside_newer_ones(
    project: Path, env: dict[str, str], tmp_path: Path, base: dict[str, str]
) -> None:
    (tmp_path / "constraints.txt").write_text("client==1.0.1\n", encoding="utf-8")
    env |= {name: value.format(folder=tmp_path) for name, value in base.items()}
    (tmp_path / "src").mkdir()
    for name in ("requirements.lock", "requirements-build.lock"):
        (tmp_path / "src" / name).write_bytes((project / "requirements-dev.lock").read_bytes())

    for word, rest in build_stage():
        if word == "RUN" and ("-m venv" in rest or "-r requirements" in rest):
            run_in_image(rest, tmp_path, env, python_with_pip())

    for name in ("kilnhand", "build"):
        assert installed(tmp_path / "opt" / name / "bin/python") == LOCKED
