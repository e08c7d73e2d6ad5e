"""A lock of a few packages, and an index that has newer releases of them all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.install.commands import machine, python_script, python_with_pip, search_path
from tests.integration.install.index import serve
from tests.integration.install.packages import write_packages


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The folder that the index serves."""
    return tmp_path / "packages"


@pytest.fixture
def project(tmp_path: Path, packages: Path) -> Path:
    """A project with the lock; its build backend comes from there, too."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements-dev.lock").write_text(write_packages(packages), encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["builder"]\nbuild-backend = "builder"\n'
        '[project]\nname = "kilnhand"\nversion = "0.1"\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def index(project: Path, packages: Path) -> Iterator[str]:
    with serve(packages) as url:
        yield url


@pytest.fixture
def env(index: str, tmp_path: Path) -> dict[str, str]:
    """A machine with this index and one Python."""
    return machine(index, PATH=search_path(tmp_path / "bin", {"python3": python_script(python_with_pip())}))
