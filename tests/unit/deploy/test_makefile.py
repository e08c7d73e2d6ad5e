"""`make` is the door: it lists its targets, and the machine for changes runs them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.compose_file import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*?[^\\])$", MAKEFILE, re.MULTILINE | re.DOTALL)[1].replace("\\", " ").split()  # type: ignore[index]


def make(*words: str) -> str:
    ended = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ended.stdout


def test_help_is_the_default_and_lists_every_target() -> None:
    listed = re.findall(r"^  make (\S+) +\S.*$", make(), re.MULTILINE)

    assert listed == TARGETS


@pytest.mark.parametrize("script", [".ci/run", ".ci/parts", ".ci/venv", ".ci/peers"])
def test_scripts_can_be_run_and_read_by_their_shell(script: str) -> None:
    path = ROOT / script
    shell = path.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]

    assert path.stat().st_mode & 0o100
    subprocess.run([shell, "-n", path], check=True)


def parts_of(text: str) -> list[str]:
    """The targets that a recipe or a script hands to `.ci/parts`."""
    return re.search(r"\.ci/parts \d+ (.*)$", text, re.MULTILINE)[1].split()  # type: ignore[index]


def test_the_machine_for_changes_runs_every_check_once() -> None:
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    tests = parts_of(make("-n", "-o", "setup", "test"))

    assert "set -euo pipefail" in text and "\nmake setup\n" in text
    assert sorted(parts_of(text)) == sorted([*tests, "lint", "simulate", "test-peers", "test-image"])
    assert set(tests) <= set(TARGETS)


def test_every_folder_of_tests_is_in_one_part() -> None:
    folders = {path.parts[len(ROOT.parts) + 1] for path in ROOT.glob("tests/*/**/test_*.py")}
    run = make("-n", "-o", "setup", *parts_of(make("-n", "-o", "setup", "test")), "test-peers", "test-image")

    assert sorted(re.findall(r" tests/(\w+)", run)) == sorted(folders)


@pytest.mark.parametrize("lanes", ["1", "3"])
def test_a_part_that_fails_hides_no_other_and_is_named(lanes: str, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/parts", tmp_path / ".ci/parts")
    (tmp_path / "Makefile").write_text(
        "test-good:\n\t@echo good ran\ntest-bad:\n\t@echo bad ran; exit 3\ntest-last:\n\t@echo last ran\n",
        encoding="utf-8",
    )

    ended = subprocess.run(
        [tmp_path / ".ci/parts", lanes, "test-bad", "test-good", "test-last"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert {"bad ran", "good ran", "last ran"} <= set(ended.stdout.splitlines())
    results = dict(re.findall(r"^(test-\w+) +(ok|FAILED) +\d+ s$", ended.stdout.partition("\n\n")[2], re.MULTILINE))
    assert results == {"test-bad": "FAILED", "test-good": "ok", "test-last": "ok"}
    assert (
        subprocess.run([tmp_path / ".ci/parts", lanes, "test-good"], capture_output=True, check=False).returncode == 0
    )


def test_lint_runs_all_its_tools_even_when_one_fails(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path / "Makefile")

    ended = subprocess.run(
        ["make", "-o", "setup", "lint", "BIN=/nowhere"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    assert set(re.findall(r"(lint-\w+)\] Error", ended.stderr)) == {
        "lint-format",
        "lint-code",
        "lint-types",
        "lint-layers",
    }


def test_the_demo_ends_by_itself_when_asked_to() -> None:
    assert make("-n", "-o", "setup", "demo").strip() == ".venv/bin/kilnhand demo"
    assert make("-n", "-o", "setup", "demo", "ONCE=1").strip() == ".venv/bin/kilnhand demo --once"
    assert make("-n", "-o", "setup", "demo", "ARGS=--all").strip().split() == [".venv/bin/kilnhand", "demo", "--all"]
