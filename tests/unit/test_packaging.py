"""The names at the top are the user's and common words: nobody else may own them, and our package brings all of them."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("config", "tasks", "worker", "twin")


@pytest.mark.parametrize("name", OURS)
def test_no_other_installed_distribution_owns_our_packages(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"kilnhand"}


def test_every_package_is_built_into_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(OURS)
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


def test_importing_reads_no_setting_and_reaches_nothing() -> None:
    nonsense = {"KILNHAND_REDIS_URL": "not a url", "KILNHAND_STORE_URL": "ftp://x", "PATH": ""}
    modules = ", ".join(["tasks.generation", "tasks.training", "tasks.video", "worker.services", "worker.cli"])
    done = subprocess.run([sys.executable, "-c", f"import {modules}"], env=nonsense, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_is_no_module_that_hides_celery() -> None:
    assert not (ROOT / "worker" / "celery.py").exists()


def test_wrong_settings_are_wrong_the_second_time_too_and_no_job_goes_to_a_stranger() -> None:
    program = """
from pydantic import ValidationError
from tasks.generation import text_to_image
for _ in range(2):
    try:
        text_to_image.delay(prompt="x")
    except ValidationError as error:
        print(error)
"""
    wrong = {"KILNHAND_REDIS_URL": "http://:hunter2@127.0.0.1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=wrong, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("allowed: redis://") == 2
    assert "hunter2" not in done.stdout
