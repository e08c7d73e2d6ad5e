"""The commands that install the locks, as .ci/venv and the Dockerfile have them, run in a folder of the test's own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3")


def python_with_pip() -> str:
    """Ours, or the machine's when ours was made without pip."""
    for python in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        if (
            python
            and subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
        ):
            return python
    raise AssertionError("no Python here has pip")


def search_path(folder: Path, scripts: dict[str, str]) -> str:
    """A PATH on which a Python is what its script says; one without a script is not there."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text("#!/bin/sh\n" + scripts.get(name, "exit 127") + "\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def python_script(pip: str | None, made: str = ":") -> str:
    """A Python without ensurepip, whose pip is that of the Python `pip`; `made` runs when it has made a .venv."""
    return f"""case "$*" in
"-m venv --clear .venv") exit 1 ;;
"-m venv "*) "{sys.executable}" "$@" && {made} ;;
"-m pip "*) {f'exec "{pip}" "$@"' if pip else "exit 1"} ;;
*) exec "{sys.executable}" "$@" ;;
esac"""


def machine(index: str, **variables: str) -> dict[str, str]:
    """The environment of a machine whose only index is this one."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    # The extra index and the folder take the place of those that this machine's own settings may name.
    pip = {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": index, "PIP_FIND_LINKS": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    return env | pip | {"PIP_RETRIES": "0"} | variables


def run_setup(project: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """What `make setup` runs."""
    shutil.copytree(ROOT / ".ci", project / ".ci", dirs_exist_ok=True)
    return subprocess.run([project / ".ci/venv"], env=env, capture_output=True, text=True, timeout=590, check=False)


def build_stage() -> list[tuple[str, str]]:
    """The Dockerfile's first stage: each instruction and what it is given."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    stage = text.partition(" AS build\n")[2].partition("\nFROM ")[0]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in stage.splitlines()) if rest]


def run_in_image(command: str, image: Path, env: dict[str, str], python: str) -> None:
    """A RUN line, where `image` stands for the root of the image and `python` for its Python."""
    here = re.sub(r"(^|&& )python\b", rf'\1"{python}"', command.replace("/opt/", f"{image}/opt/"))
    own = dict(pair.split("=", 1) for word, rest in build_stage() if word == "ENV" for pair in rest.split())
    ended = subprocess.run(
        ["sh", "-euc", here], cwd=image / "src", env=env | own, capture_output=True, text=True, timeout=590, check=False
    )
    assert ended.returncode == 0, f"RUN {command}\n{ended.stdout}\n{ended.stderr}"


def installed(python: Path) -> dict[str, str]:
    """Each package that this Python has, and its version; pip and setuptools of a new .venv left out."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = json.loads(subprocess.run([python, "-Ic", code], capture_output=True, text=True, check=True).stdout)
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in found.items()
        if name not in {"pip", "setuptools"}
    }
