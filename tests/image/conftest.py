"""The real packages of the locks, an index that has a newer release of each, and the oldest pip there is to serve."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.install.commands import ROOT, machine, python_with_pip
from tests.integration.install.index import serve, write_wheel

# Debian 12 has 23.0; a newer Python needs a newer pip.
OLDEST_PIP = {(3, 11): "23.0", (3, 12): "23.2", (3, 13): "24.1"}.get(sys.version_info[:2], "25.1")


def pip(*words: str) -> None:
    """This machine's pip, with the index that this machine has."""
    ended = subprocess.run(
        [python_with_pip(), "-m", "pip", *words],
        env=os.environ | {"PIP_CONSTRAINT": os.devnull},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert ended.returncode == 0, f"pip {' '.join(words)}\n{ended.stdout}\n{ended.stderr}"


def python_with(version: str, folder: Path) -> str:
    """A Python that has this release of pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip("--python", str(folder / "bin/python"), "install", "--no-deps", f"pip{version}")
    return str(folder / "bin/python")


@pytest.fixture(scope="session")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return python_with(f"=={OLDEST_PIP}", tmp_path_factory.mktemp("old") / "venv")


@pytest.fixture(scope="session")
def new_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return python_with(f">={OLDEST_PIP}", tmp_path_factory.mktemp("new") / "venv")


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A machine on a later day: its index has the locked packages, and a newer release of each that would do as well."""
    folder = tmp_path_factory.mktemp("packages")
    closed = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
    pip("download", *closed, "--dest", str(folder), "-r", str(ROOT / "requirements-dev.lock"))
    for wheel in list(folder.iterdir()):
        name, version = wheel.name.split("-")[:2]
        write_wheel(folder, name, re.sub(r"[^\d.].*", "", version) + ".1")
    with serve(folder) as url:
        yield machine(url)
