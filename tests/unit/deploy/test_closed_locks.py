"""Each lock is a closed set: what its packages require, extras too, is in it, on every Python and machine that we serve."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache

import pytest
from packaging.requirements import Requirement

from tests.unit.deploy.compose_file import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = PROJECT["project"]["dependencies"]
BUILD = PROJECT["dependency-groups"]["build"]
DEV = [line for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)]
DEMO = PROJECT["project"]["optional-dependencies"]["demo"]
WANTED = {
    "requirements.lock": RUNTIME,
    "requirements-build.lock": BUILD,
    "requirements-dev.lock": [*RUNTIME, *DEMO, *BUILD, *DEV],
}
MACHINES = {
    "linux x86_64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "linux aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macos arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.11.2", "3.11.9", "3.12.0", "3.13.0", "3.14.0")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str, environment: dict[str, str]) -> dict[str, str]:
    """The version of each package that the lock names in this environment."""
    lines = (line.removesuffix("\\").strip() for line in text.splitlines() if re.match(r"[a-z0-9]", line))
    pins = [Requirement(line) for line in lines]
    return {
        normalized(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def unmet(wanted: Iterable[str], pins: dict[str, str], environment: dict[str, str]) -> Iterator[str]:
    """What these requirements need, through all packages and their extras, that the pins do not hold."""
    waiting = [(Requirement(line), "pyproject.toml", "") for line in wanted]
    waiting += [(Requirement(f"{name}=={version}"), "the lock", "") for name, version in pins.items()]
    seen = set()
    while waiting:
        needed, by, extra = waiting.pop()
        name = normalized(needed.name)
        if needed.marker and not needed.marker.evaluate({**environment, "extra": extra}):
            continue
        if name not in pins or not needed.specifier.contains(pins[name], prereleases=True):
            yield f"{by} needs {needed}, the lock has {pins.get(name)}"
            continue
        for asked in {"", *needed.extras} - {asked for other, asked in seen if other == name}:
            seen.add((name, asked))
            waiting += [(requirement, f"{name}[{asked}]", asked) for requirement in requirements(name, pins[name])]


@cache
def requirements(name: str, version: str) -> list[Requirement]:
    """What the package says of itself; nothing for one that only other machines have, so it cannot be asked here."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(line) for line in found.requires or ()] if found.version == version else []


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", WANTED)
def test_whatever_a_locked_package_requires_is_locked(lock: str, python: str, machine: str) -> None:
    minor = python.rpartition(".")[0]
    environment = {
        "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix",
        "python_version": minor, "python_full_version": python, "implementation_version": python, **MACHINES[machine],
    }  # fmt: skip
    pins = locked((ROOT / lock).read_text(encoding="utf-8"), environment)

    assert pins and list(unmet(WANTED[lock], pins, environment)) == []


def test_the_lock_is_what_is_installed_here() -> None:
    pins = locked((ROOT / "requirements-dev.lock").read_text(encoding="utf-8"), {})

    assert {name: importlib.metadata.version(name) for name in pins} == pins


def test_a_requirement_of_an_extra_that_is_not_locked_is_found() -> None:
    pins = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"), {})
    del pins["requests"]  # only google-auth[requests] asks for it

    assert any(line.startswith("google-auth[requests] needs requests") for line in unmet(RUNTIME, pins, {}))
