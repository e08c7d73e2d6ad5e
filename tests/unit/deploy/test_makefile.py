"""`make` is the door: it lists its targets, and the machine for changes runs them."""

import re
import subprocess

import pytest

from tests.unit.deploy.compose_file import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()  # type: ignore[index]


def make(*words: str) -> str:
    ended = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ended.stdout


def test_help_is_the_default_and_lists_every_target() -> None:
    listed = re.findall(r"^  make (\S+) +\S.*$", make(), re.MULTILINE)

    assert listed == TARGETS


@pytest.mark.parametrize("script", [".ci/run", ".ci/venv", ".ci/peers"])
def test_scripts_can_be_run_and_read_by_their_shell(script: str) -> None:
    path = ROOT / script
    shell = path.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]

    assert path.stat().st_mode & 0o100
    subprocess.run([shell, "-n", path], check=True)


def test_the_machine_for_changes_runs_every_check_once() -> None:
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    words = [word for line in text.splitlines() if line.startswith("make ") for word in line.split()]

    assert "set -euo pipefail" in text
    assert sorted(word for word in words if word in TARGETS) == sorted(
        ["lint", "test", "simulate", "test-peers", "test-image"]
    )


def test_the_demo_ends_by_itself_when_asked_to() -> None:
    assert make("-n", "-o", "setup", "demo").strip() == ".venv/bin/kilnhand up --demo"
    assert make("-n", "-o", "setup", "demo", "ONCE=1").strip() == ".venv/bin/kilnhand up --demo --once"
