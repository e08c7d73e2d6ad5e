"""The names at the top are the user's and common words: nobody else may own them, and our package brings all of them."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = ("config", "tasks", "worker", "twin")


@pytest.mark.parametrize("name", OURS)
def test_no_other_installed_distribution_owns_our_packages(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"kilnhand"}


def test_every_package_is_built_into_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(OURS)
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


@pytest.mark.parametrize("name", OURS)
def test_importing_a_package_does_nothing(name: str) -> None:
    for init in (ROOT / name).rglob("__init__.py"):
        lines = [line for line in init.read_text().splitlines() if line and not line.startswith(("#", '"""', "from", "import"))]
        assert len(init.read_text().splitlines()) < 40, f"{init} does more than say what it is for"
        assert not any(line.startswith(("os.", "print(")) for line in lines)


def test_there_is_no_module_that_hides_celery() -> None:
    assert not (ROOT / "worker" / "celery.py").exists()
