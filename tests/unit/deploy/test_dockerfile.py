"""The Dockerfile copies what exists, installs from the lock, and ends small and without rights."""

import re
from itertools import groupby

import pytest

from tests.unit.deploy.compose_file import ROOT

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")


def stages() -> list[list[list[str]]]:
    """The instructions of each stage, without its FROM."""
    groups = [list(group) for first, group in groupby(LINES, key=lambda line: line[0] in {"FROM", "ARG"}) if not first]
    assert len(groups) == 2
    return groups


def arguments(lines: list[list[str]], instruction: str) -> list[str]:
    return [rest for word, rest in lines if word == instruction]


def sources() -> list[str]:
    copies = (rest.split() for rest in arguments(LINES, "COPY"))
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


@pytest.mark.parametrize("source", sources())
def test_what_is_copied_exists_and_is_in_the_build_context(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in IGNORE or f"!{source}/" in IGNORE


def test_nothing_else_is_in_the_build_context() -> None:
    assert IGNORE[1] == "*"
    assert {line[1:].rstrip("/") for line in IGNORE if line.startswith("!")} == set(sources())


def test_every_package_of_the_wheel_is_copied() -> None:
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)

    assert packages and set(re.findall(r'"(\w+)"', packages[1])) <= set(sources())


def test_the_base_is_pinned_and_both_stages_share_it() -> None:
    assert arguments(LINES, "ARG") == ["BASE=python:3.13-slim-trixie"]
    assert arguments(LINES, "FROM") == ["${BASE} AS build", "${BASE}"]


def test_packages_come_from_the_locks_and_from_nothing_beside_them() -> None:
    installs = re.findall(r"pip .*?install (.*?)(?: &&|$)", "\n".join(arguments(LINES, "RUN")), re.MULTILINE)
    closed = "--no-deps --require-hashes --only-binary :all: -r "

    assert [line.removeprefix(closed) for line in installs] == [
        "requirements.lock",
        "requirements-build.lock",
        "--no-index --no-deps /opt/wheel/*.whl",
    ]


def test_nothing_is_fetched_by_address() -> None:
    assert arguments(LINES, "ADD") == []
    assert "://" not in TEXT


def test_the_last_stage_has_no_build_tools_and_no_rights() -> None:
    last = stages()[-1]

    assert arguments(last, "USER") == ["10001:10001"]
    assert not re.search(
        r"apt-get|pip |hatch|gcc|/opt/build", "\n".join(arguments(last, "RUN") + arguments(last, "COPY"))
    )
    assert arguments(last, "STOPSIGNAL") == ["SIGTERM"]
    assert arguments(last, "CMD") == ['["celery", "-A", "worker.app", "worker"]']


def test_no_secret_is_baked_in() -> None:
    assert not re.search(r"(?i)(_key|secret|password|token)\s*=", TEXT)
    assert "**/.env" in IGNORE
