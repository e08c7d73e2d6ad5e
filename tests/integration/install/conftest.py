"""A lock of a few packages, and an index that has newer releases of them all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.install.commands import machine, python_script, python_with_pip, search_path
from tests.integration.install.index import lock_of, serve, write_wheel

# What `pip install --editable` asks of a build backend: the project's own wheel.
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "kilnhand-0.1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("kilnhand-0.1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: kilnhand\\nVersion: 0.1\\n")
        archive.writestr("kilnhand-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("kilnhand-0.1.dist-info/RECORD", "")
    return name
"""
LOCKED = {"client": "1.0", "google-auth": "2.56", "transport": "2.0", "builder": "1.0"}


def write_packages(folder: Path) -> str:
    """The locked wheels and a newer one of each that would do as well; gives the lock."""
    folder.mkdir()
    client = ["Requires-Dist: google-auth[requests]<3,>=2.56"]
    auth = ["Provides-Extra: requests", "Requires-Dist: transport>=2; extra == 'requests'"]
    lock = lock_of(
        [
            write_wheel(folder, "client", LOCKED["client"], client),
            write_wheel(folder, "google-auth", LOCKED["google-auth"], auth),
            write_wheel(folder, "transport", LOCKED["transport"]),
            write_wheel(folder, "builder", LOCKED["builder"], files={"builder.py": BACKEND}),
        ]
    )
    for name, version in LOCKED.items():
        write_wheel(folder, name, f"{version}.1", {"client": client, "google-auth": auth}.get(name, ()))
    return lock


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
