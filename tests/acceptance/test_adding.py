"""docs/adding.md as it stands: its model, task and provider in a copy of the source, and a job through each."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from worker.cli.processes.stack import Stack, run_stack

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
PLACED = re.compile(r"^`([\w./]+)`, (a new file|at its end|a row of `(\w+)`):\n\n```\w+\n(.*?)^```$", re.M | re.S)


def source_with_examples(folder: Path) -> Path:
    """A copy of the packages, with every example of the page in its place."""
    for package in ("config", "tasks", "worker", "twin"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, place, table, text in PLACED.findall(PAGE):
        path = folder / name
        if place == "a new file":
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8")
        if place == "at its end":
            path.write_text(f"{before}\n{text}", encoding="utf-8")
        else:
            start = before.index(f"{table}: ")
            end = before.index("\n}\n", start) + 1
            path.write_text(before[:end] + text + before[end:], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_with_examples(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def stack(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    folder = tmp_path_factory.mktemp("stack")
    with run_stack(folder, processes=("redis", "twin", "worker", "gateway"), env=env) as stack:
        yield stack


def commands() -> list[str]:
    return [line for line in PAGE.splitlines() if line.startswith("kilnhand submit ")]


def run(stack: Stack, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, env=stack.environment, capture_output=True, text=True, timeout=100)


def test_the_page_has_every_kind_of_example() -> None:
    assert [name for name, *_ in PLACED.findall(PAGE)].count("config/catalogue.toml") == 5
    assert {
        "tasks/editing/dressing.py",
        "tasks/pipelines/poster.py",
        "worker/providers/swatch.py",
        "worker/providers/table.py",
    } <= {name for name, *_ in PLACED.findall(PAGE)}
    assert len(commands()) == 4


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.split()[2])
def test_a_job_runs_through_each_example(stack: Stack, tmp_path: Path, command: str) -> None:
    for n, name in enumerate(("person", "garment", "mask")):
        Image.new("RGB", (512, 512), (40 * n, 90, 200)).save(tmp_path / f"{name}.png")
    line = f"{command} --json".removeprefix("kilnhand ")

    done = run(stack, "sh", "-c", f'"$0" -P -m worker.cli {line}', sys.executable, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["images"][0]["key"].startswith("jobs/")


def test_the_task_of_the_page_goes_on_in_a_chain(stack: Stack, tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(from celery import chain\n.*?)```", PAGE, re.S)
    garment = "data:image/png;base64," + PIXELS
    program = snippet.replace("https://example.com/coat.png", garment)
    program += '\nprint(worn.get(timeout=120)["images"][0]["url"])\n'

    done = run(stack, sys.executable, "-P", "-c", program, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http")


def test_the_examples_are_what_the_checks_ask_for(source: Path) -> None:
    files = [str(source / name) for name, place, *_ in PLACED.findall(PAGE) if place == "a new file"]
    config = str(ROOT / "pyproject.toml")

    for words in (("ruff", "check", "--config", config), ("ruff", "format", "--check", "--config", config)):
        done = subprocess.run([str(Path(sys.executable).with_name(words[0])), *words[1:], *files], capture_output=True)
        assert done.returncode == 0, done.stdout.decode()


PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=="
