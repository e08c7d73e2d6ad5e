"""The build stage of the Dockerfile, carried out in a clean folder: no Docker engine is needed to see that it works.

What it cannot see: the base image itself, and the rights of the last stage (tests/unit/deploy reads those).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.install.commands import ROOT, build_stage, run_in_image

PACKAGES = ("config", "tasks", "worker", "twin")


def carry_out(word: str, rest: str, folder: Path, env: dict[str, str], python: str) -> None:
    if word == "COPY":
        *sources, target = rest.split()
        for source in sources:
            copy(ROOT / source, folder / "src" / (source if target.endswith("/") else target))
    elif word == "RUN":
        run_in_image(rest, folder, env, python)


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, newer: dict[str, str], old_pip: str) -> Path:
    """The folder that holds /opt as the image would, built when each package has a newer release."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "src").mkdir()
    for word, rest in build_stage():
        carry_out(word, rest, folder, newer, old_pip)
    return folder


def run(image: Path, *words: str) -> str:
    command = [str(image / "opt/kilnhand/bin" / words[0]), *words[1:]]
    return subprocess.run(command, cwd=image, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.mark.timeout(3600)
def test_every_file_of_ours_is_installed(image: Path) -> None:
    (site,) = (image / "opt/kilnhand/lib").glob("python3.*/site-packages")
    ours = [path for name in PACKAGES for path in (image / "src" / name).rglob("*") if path.is_file()]

    missing = [
        str(path.relative_to(image / "src")) for path in ours if not (site / path.relative_to(image / "src")).exists()
    ]

    assert ours and missing == []


def test_what_is_installed_fits_together_and_holds_no_tools(image: Path) -> None:
    installed = run(
        image, "python", "-c", "import importlib.metadata as m; print(*[d.name for d in m.distributions()])"
    ).split()

    assert {"kilnhand", "celery", "flower", "fal-client"} <= {name.lower().replace("_", "-") for name in installed}
    assert not {"pip", "setuptools", "hatchling", "pytest"} & set(installed)


def test_the_commands_of_the_compose_file_are_there(image: Path) -> None:
    assert "worker" in run(image, "kilnhand", "--help")
    assert "5.7" in run(image, "celery", "--version")
    assert "flux-schnell" in run(
        image,
        "python",
        "-c",
        "from config.catalogue import load_catalogue as load; print(load().find('flux-schnell').name)",
    )
