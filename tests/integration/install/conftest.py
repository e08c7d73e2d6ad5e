"""A lock of a few packages, and an index that has newer releases of them all."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.install.commands import machine, python_script, python_with_pip, run_setup, search_path
from tests.integration.install.index import serve
from tests.integration.install.packages import write_packages


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The folder that the index serves."""
    return tmp_path / "packages"


@pytest.fixture
def project(tmp_path: Path, packages: Path) -> Path:
    """A project with the lock; its build backend comes from there, too."""
    return write_project(tmp_path / "project", packages)


@pytest.fixture
def index(project: Path, packages: Path) -> Iterator[str]:
    with serve(packages) as url:
        yield url


@pytest.fixture
def env(index: str, tmp_path: Path) -> dict[str, str]:
    """A machine with this index and one Python."""
    return one_python(index, tmp_path / "bin")


@dataclass(frozen=True)
class Filled:
    """A project whose .venv is whole, and what its first `make setup` said."""

    project: Path
    packages: Path
    env: dict[str, str]
    lock: str
    first: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    project = write_project(folder / "project", folder / "packages")
    with serve(folder / "packages") as url:
        env = one_python(url, folder / "bin")
        first = run_setup(project, env | {"PIP_FIND_LINKS": "/nowhere/wheels"})  # pip warns of it for every package
        lock = (project / "requirements-dev.lock").read_text(encoding="utf-8")
        yield Filled(project, folder / "packages", env, lock, first)


@pytest.fixture
def filled(_filled: Filled) -> Filled:
    """The module's project, whole again after what the test before did to it: to fill a .venv takes seconds."""
    (_filled.project / "requirements-dev.lock").write_text(_filled.lock, encoding="utf-8")
    ended = run_setup(_filled.project, _filled.env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return _filled


def write_project(folder: Path, packages: Path) -> Path:
    folder.mkdir()
    (folder / "requirements-dev.lock").write_text(write_packages(packages), encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n'
        '[project]\nname = "kilnhand"\nversion = "0.1"\n',
        encoding="utf-8",
    )
    return folder


def one_python(index: str, folder: Path) -> dict[str, str]:
    return machine(index, PATH=search_path(folder, {"python3": python_script(python_with_pip())}))
